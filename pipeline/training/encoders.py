"""Encoders of the ages of an item's last purchases: [n_own, n_ages] -> [n_own, encoder_dim].

One small network, shared by all items, behind one interface, so that they are interchangeable.
Ages are log(1 + days), 0 where there is no purchase.

References:
    Ariannezhad et al., 2022, "ReCANet", doi:10.1145/3477495.3531708 (gap sequences).
"""

from typing import Any

import keras

from pipeline.params import RankerParams


def build_encoder(params: RankerParams) -> Any | None:
    """Return the Keras layers that `params.encoder` names; None for 'none'."""
    if params.encoder == "none":
        return None
    return {"mlp": _mlp, "cnn": _cnn, "gru": _gru}[params.encoder](params)


def _mlp(params: RankerParams) -> Any:
    return keras.Sequential(
        [keras.layers.Dense(params.encoder_dim, activation="relu")], name="ages_mlp"
    )


def _cnn(params: RankerParams) -> Any:
    return keras.Sequential(
        [
            keras.layers.Reshape((params.n_ages, 1)),
            keras.layers.Conv1D(params.encoder_dim, 3, activation="relu"),
            keras.layers.GlobalMaxPooling1D(),
        ],
        name="ages_cnn",
    )


def _gru(params: RankerParams) -> Any:
    return keras.Sequential(
        [
            keras.layers.Reshape((params.n_ages, 1)),
            keras.layers.GRU(params.encoder_dim, go_backwards=True),
        ],
        name="ages_gru",
    )

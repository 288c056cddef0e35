"""Encoders of the ages of an item's last purchases: [n_repeat, n_ages] -> [n_repeat, encoder_dim].

Encoders are interchangeable small networks, shared by all items. Ages are log(1 + days), latest
first, padded with 0. Recurrent encoders are unrolled, so the exported graph has no loop.

References:
    Ariannezhad et al., 2022, "ReCANet", doi:10.1145/3477495.3531708 (gap sequences).
    Vaswani et al., 2017, arXiv:1706.03762; Xiong et al., 2020, arXiv:2002.04745 (pre-norm).
"""

from collections.abc import Callable
from typing import Any

import keras

from pipeline.contracts.errors import TrainingError
from pipeline.contracts.params import RankerParams

N_HEADS = 2


def build_encoder(name: str, params: RankerParams) -> Any | None:
    """Return the Keras layers of the encoder `name`; None for 'none'.

    Raises:
        TrainingError: No encoder has this name.
    """
    if name == "none":
        return None
    if name not in ENCODERS:
        raise TrainingError(
            f"a history encoder among {', '.join(ENCODERS)} or none",
            received=f"'{name}'",
            action="Correct training.families in params.yaml.",
        )
    return ENCODERS[name](params)


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
            keras.layers.GRU(params.encoder_dim, go_backwards=True, unroll=True),
        ],
        name="ages_gru",
    )


def _lstm(params: RankerParams) -> Any:
    return keras.Sequential(
        [
            keras.layers.Reshape((params.n_ages, 1)),
            keras.layers.LSTM(params.encoder_dim, go_backwards=True, unroll=True),
        ],
        name="ages_lstm",
    )


def _transformer(params: RankerParams) -> Any:
    """Return one pre-norm block over the ages with learned positions and mean pooling."""
    inputs = keras.Input((params.n_ages,))
    ages = keras.ops.pad(inputs, ((1, 0), (0, 0)))  # ONNX Runtime fails on attention over zero rows
    is_purchase = keras.ops.cast(ages > 0, "float32")[..., None]
    hidden = keras.layers.Dense(params.encoder_dim, name="ages_in")(ages[..., None])
    hidden = keras.layers.Add()([hidden, Positions(params.n_ages, params.encoder_dim)(hidden)])
    mask = keras.ops.cast(ages > 0, "bool")[:, None, :]
    normal = keras.layers.LayerNormalization()(hidden)
    attend = keras.layers.MultiHeadAttention(N_HEADS, max(params.encoder_dim // N_HEADS, 1))
    hidden = hidden + attend(normal, normal, attention_mask=mask)
    wide = keras.layers.Dense(2 * params.encoder_dim, activation="gelu")(
        keras.layers.LayerNormalization()(hidden)
    )
    hidden = hidden + keras.layers.Dense(params.encoder_dim)(wide)
    total = keras.ops.sum(hidden * is_purchase, axis=1)
    mean = total / keras.ops.maximum(keras.ops.sum(is_purchase, axis=1), 1.0)
    return keras.Model(inputs, WithoutFirst()(mean), name="ages_transformer")


@keras.saving.register_keras_serializable("evergreen")
class Positions(keras.layers.Layer):
    """A learned vector per position: [n, length, dim] -> [length, dim]."""

    def __init__(self, length: int, dim: int, **kwargs: Any) -> None:
        """Store the sizes."""
        super().__init__(**kwargs)
        self._length, self._dim = length, dim

    def build(self, _: Any) -> None:
        """Create the vectors."""
        self.table = self.add_weight(shape=(self._length, self._dim), initializer="uniform")

    def call(self, inputs: Any) -> Any:
        """Return the vectors, broadcast to the shape of the inputs."""
        return keras.ops.broadcast_to(self.table, keras.ops.shape(inputs))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "length": self._length, "dim": self._dim}


@keras.saving.register_keras_serializable("evergreen")
class WithoutFirst(keras.layers.Layer):
    """All rows but the first: [n + 1, dim] -> [n, dim]."""

    def call(self, inputs: Any) -> Any:
        """Return the rows after the first."""
        return inputs[1:]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape; the number of rows is unknown."""
        return (None, *input_shape[1:])


ENCODERS: dict[str, Callable[[RankerParams], Any]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "gru": _gru,
    "lstm": _lstm,
    "transformer": _transformer,
}

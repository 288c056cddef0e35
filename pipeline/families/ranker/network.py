"""The Keras network that scores one own item of a request from its features and its ages."""

from typing import Any

import keras
import numpy as np

from pipeline.families.ranker.encoders import build_encoder
from pipeline.params import RankerParams

LIMIT = 6.0


def build_network(
    mean: np.ndarray[Any, Any], deviation: np.ndarray[Any, Any], params: RankerParams, encoder: str
) -> Any:
    """Return a model of inputs [n, n_features] and [n, n_ages] with output [n].

    Features are standardised inside the model and cut at LIMIT deviations.

    Args:
        mean: [n_features] of the training examples.
        deviation: [n_features].
        params: Layers.
        encoder: Which history encoder, see `encoders`.
    """
    features = keras.Input((len(mean),), name="features")
    ages = keras.Input((params.n_ages,), name="ages")
    standard = keras.layers.Normalization(mean=mean, variance=deviation**2)(features)
    hidden = keras.ops.clip(standard, -LIMIT, LIMIT)
    history = build_encoder(encoder, params)
    if history is not None:
        hidden = keras.layers.Concatenate()([hidden, history(ages)])
    for width in params.hidden_dims:
        hidden = keras.layers.Dense(width, activation="relu")(hidden)
        hidden = keras.layers.Dropout(params.dropout)(hidden)
    score = keras.layers.Dense(1)(hidden)
    return keras.Model([features, ages], keras.ops.squeeze(score, -1), name="own_items")

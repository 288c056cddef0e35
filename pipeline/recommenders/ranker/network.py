"""The Keras network that scores one own item of a request from its features and its ages."""

from typing import Any

import keras
import numpy as np

from pipeline.contracts.params import RankerParams
from pipeline.recommenders.ranker.encoders import build_encoder

LIMIT = 6.0
FIRST_DEVIATION = 0.01  # of the last weights: all candidates are about equal before the first step


def build_network(
    mean: np.ndarray[Any, Any],
    deviation: np.ndarray[Any, Any],
    params: RankerParams,
    encoder: str,
    n_kinds: int,
) -> Any:
    """Return a model of inputs [n, n_features], [n, n_ages], [n] kinds and output [n, n_networks].

    Features are standardised inside the model and cut at LIMIT deviations. Products of one kind
    share an embedding: how they come back, whoever buys them. Cross layers multiply the inputs
    with weighted sums of themselves before the dense layers: what one feature means depends on the
    others, and a dense layer has to approximate products. They also count directly, for dense
    layers alone can be silent for all good items, which then have equal scores and no reasons.
    Several such networks share what is before them: the mean of their scores is steadier than any.

    Args:
        mean: [n_features] of the training examples.
        deviation: [n_features].
        params: Layers.
        encoder: Which history encoder, see `encoders`.
        n_kinds: How many codes of product types there are, 0 = unknown included.

    References:
        Wang et al., 2021, "DCN V2", arXiv:2008.13535 (cross layers of low rank).
    """
    features = keras.Input((len(mean),), name="features")
    ages = keras.Input((params.n_ages,), name="ages")
    kind = keras.Input((), dtype="int32", name="kind")
    standard = keras.layers.Normalization(mean=mean, variance=deviation**2)(features)
    hidden = keras.ops.clip(standard, -LIMIT, LIMIT)
    history = build_encoder(encoder, params)
    parts = [hidden, keras.layers.Embedding(n_kinds, params.kind_dim, name="kinds")(kind)]
    if history is not None:
        parts.append(history(ages))
    joined = keras.layers.Concatenate()(parts)
    scores = [_score(joined, params) for _ in range(params.n_networks)]
    return keras.Model([features, ages, kind], keras.ops.concatenate(scores, -1), name="own_items")


def _score(inputs: Any, params: RankerParams) -> Any:
    """Return [n, 1] the score of one of the networks side by side."""
    hidden = inputs
    for _ in range(params.n_crosses):
        low = keras.layers.Dense(params.cross_rank, use_bias=False)(hidden)
        hidden = inputs * keras.layers.Dense(inputs.shape[-1])(low) + hidden
    crossed = hidden
    for width in params.hidden_dims:
        hidden = keras.layers.Dense(width, activation="relu")(hidden)
        hidden = keras.layers.Dropout(params.dropout)(hidden)
    quiet = keras.initializers.RandomNormal(stddev=FIRST_DEVIATION)
    last = keras.layers.Dense(1, kernel_initializer=quiet)
    return last(keras.ops.concatenate([hidden, crossed], -1))


def mean_score(network: Any, inputs: list[Any]) -> Any:
    """Return [n] the score of each pair: the mean of the networks side by side."""
    return keras.ops.mean(network(inputs, training=False), axis=1)


def inputs_of(features: Any, ages: Any, kind: Any) -> list[Any]:
    """Return the network's inputs, one row per pair, from what is kept in half precision.

    Args:
        features: [..., n_features].
        ages: [..., n_ages].
        kind: [...].
    """
    features, ages = (
        keras.ops.cast(keras.ops.reshape(each, (-1, each.shape[-1])), "float32")
        for each in (features, ages)
    )
    return [features, ages, keras.ops.reshape(kind, (-1,))]

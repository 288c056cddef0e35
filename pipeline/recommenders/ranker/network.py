"""The Keras network that scores a repeat candidate from its features and ages."""

from typing import Any

import keras
import numpy as np

from pipeline.contracts.params import RankerParams
from pipeline.recommenders.ranker.encoders import build_encoder

LIMIT = 6.0
FIRST_DEVIATION = 0.01  # of the last layer's initial weights: all candidates start about equal


def build_network(
    mean: np.ndarray[Any, Any],
    deviation: np.ndarray[Any, Any],
    params: RankerParams,
    encoder: str,
    n_kinds: int,
) -> Any:
    """Return a model of inputs [n, n_features], [n, n_ages], [n] kinds and output [n, n_networks].

    The model standardises features and clips them at LIMIT deviations. Products of one kind share
    an embedding. Cross layers multiply the inputs with weighted sums of themselves, because dense
    layers only approximate products. Their output also feeds the last layer directly: dense
    layers alone can be dead for all good items, which then tie without an explanation. The
    networks share these inputs; the mean of their scores varies less than a single score.

    Args:
        mean: [n_features] mean over the training examples.
        deviation: [n_features] standard deviation over the training examples.
        params: Sizes of the layers.
        encoder: Name of the history encoder.
        n_kinds: Number of product type codes, 0 = unknown included.

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
    """Return [n, 1] the score of one network of the ensemble."""
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
    """Return [n] the score of each pair, averaged over the ensemble."""
    return keras.ops.mean(network(inputs, training=False), axis=1)


def build_inputs(features: Any, ages: Any, kind: Any) -> list[Any]:
    """Return the network's inputs, one row per pair.

    Args:
        features: [..., n_features] in half precision.
        ages: [..., n_ages] in half precision.
        kind: [...] product type codes.
    """
    features, ages = (
        keras.ops.cast(keras.ops.reshape(values, (-1, values.shape[-1])), "float32")
        for values in (features, ages)
    )
    return [features, ages, keras.ops.reshape(kind, (-1,))]

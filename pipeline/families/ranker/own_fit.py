"""Fitting the network of own items: listwise softmax over what each shopper bought before."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline import ranking
from pipeline.families.fit import Fitted, Schedule, fit, key_of
from pipeline.families.losses import listwise_softmax
from pipeline.families.ranker.examples import Labels, OwnPairs, extractor, own_pairs
from pipeline.families.ranker.graph import RankerGraph
from pipeline.families.ranker.network import build_network
from pipeline.params import RankerParams
from pipeline.recommenders.shop import Shop

SCORE_PART = 400_000
K = 10


def fit_own(  # noqa: PLR0913  all that shapes the fit
    graph: RankerGraph,
    train: OwnPairs,
    shop: Shop,
    params: RankerParams,
    *,
    encoder: str,
    seed: int,
    epochs: int | None,
) -> Fitted:
    """Build the graph's network and fit it.

    Args:
        graph: Whose features made `train`.
        train: Pairs to learn from.
        shop: For its validation examples.
        params: Layers, rates.
        encoder: Which history encoder.
        seed: For everything random.
        epochs: How long to train when there is no validation.
    """
    mean, deviation = moments_of(train.features)
    graph.network = build_network(mean, deviation, params, encoder)
    lists = Lists(train)
    validate = None
    if epochs is None:
        validate = _own_validation(graph, shop, params)

    def loss(
        features: tf.Tensor, ages: tf.Tensor, wanted: tf.Tensor, row: tf.Tensor, n: tf.Tensor
    ) -> tf.Tensor:
        inputs = [tf.cast(features, tf.float32), tf.cast(ages, tf.float32)]
        return listwise_softmax(graph.network(inputs, training=True), wanted, row, n)

    schedule = Schedule(
        params.epochs if epochs is None else epochs,
        params.patience,
        params.learning_rate,
        params.weight_decay,
        seed,
    )
    key = key_of(params, encoder, seed, epochs, train.features[::997], train.wanted)
    return fit(
        "network",
        list(graph.network.variables),
        batches=lambda random: lists.batches(random, params.batch_size),
        n_batches=lists.n_batches(params.batch_size),
        loss=loss,
        validate=validate,
        schedule=schedule,
        key=key,
    )


def moments_of(features: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
    """Return the mean and the deviation of each feature over an even sample of the rows."""
    sample = features[:: max(1, len(features) // 200_000)].astype(np.float64)
    deviation = sample.std(axis=0)
    return sample.mean(axis=0), np.where(deviation > 1e-3, deviation, 1.0)  # noqa: PLR2004


class Lists:
    """Training pairs by request, of which batches are drawn; requests without hits are left out."""

    def __init__(self, pairs: OwnPairs) -> None:
        """Find where each request's pairs begin."""
        self._pairs = pairs
        self._splits = np.searchsorted(pairs.row, np.arange(pairs.n + 1))
        hits = np.bincount(pairs.row, weights=pairs.wanted > 0, minlength=pairs.n)
        self._useful = np.flatnonzero(hits)

    def n_batches(self, size: int) -> int:
        """Return how many batches an epoch has."""
        return max(1, -(-len(self._useful) // size))

    def batches(self, random: np.random.Generator, size: int) -> Iterator[tuple[Any, ...]]:
        """Yield features, ages, relevance, row and number of requests."""
        order = random.permutation(self._useful)
        for start in range(0, len(order), size):
            chosen = np.sort(order[start : start + size])
            lengths = self._splits[chosen + 1] - self._splits[chosen]
            offsets = np.repeat(self._splits[chosen] - np.cumsum(lengths) + lengths, lengths)
            at = np.arange(lengths.sum()) + offsets
            row = np.repeat(np.arange(len(chosen), dtype=np.int32), lengths)
            pairs = self._pairs
            yield (
                tf.constant(pairs.features[at]),
                tf.constant(pairs.ages[at]),
                tf.constant(pairs.wanted[at]),
                tf.constant(row),
                tf.constant(len(chosen)),
            )


def _own_validation(graph: RankerGraph, shop: Shop, params: RankerParams) -> Any:
    """Return a function that scores the network: NDCG@10 of own items on rolling validation."""
    examples = shop.validation[shop.validation["protocol"] == "rolling"].reset_index(drop=True)
    n_true = examples["labels"].map(len).to_numpy()
    extract = extractor(graph, params.n_ages)
    pairs = own_pairs(shop.requests(examples), Labels.of(examples, shop), extract)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def score(features: tf.Tensor, ages: tf.Tensor) -> tf.Tensor:
        inputs = [tf.cast(features, tf.float32), tf.cast(ages, tf.float32)]
        return graph.network(inputs, training=False)

    def validate() -> float:
        parts = range(0, len(pairs.item), SCORE_PART)
        scores = np.concatenate(
            [
                score(pairs.features[s : s + SCORE_PART], pairs.ages[s : s + SCORE_PART]).numpy()
                for s in parts
            ]
        )
        hits = best_hits(scores, pairs)
        return float(np.nanmean(ranking.ndcg_at_k(hits, n_true, K)))

    return validate


def best_hits(scores: np.ndarray[Any, Any], pairs: OwnPairs) -> np.ndarray[Any, Any]:
    """Return [n, K] whether the best K pairs of each request were wanted."""
    order = np.lexsort((-scores, pairs.row))
    row = pairs.row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, np.arange(pairs.n))[row]
    top = rank < K
    hits = np.zeros((pairs.n, K), dtype=bool)
    hits[row[top], rank[top]] = pairs.wanted[order][top] > 0
    return hits

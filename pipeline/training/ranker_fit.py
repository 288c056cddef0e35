"""Fitting the Keras ranker: own items by the network, other items by the explore head."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from pipeline import ranking
from pipeline.params import RankerParams, ShopParams, TrainingParams
from pipeline.training.examples import (
    Labels,
    OwnPairs,
    by_cutoff,
    extractor,
    joined,
    own_pairs,
)
from pipeline.training.fit import Fitted, Schedule, fit, key_of
from pipeline.training.graph import NOTHING, SIGNATURE, Batch, read_batch, tensors_of
from pipeline.training.items import item_state
from pipeline.training.losses import listwise_softmax
from pipeline.training.network import build_network
from pipeline.training.ranker import RankerGraph, code_counts, tables_of
from pipeline.training.requests import Requests
from pipeline.training.shop import Shop, is_own

SCORE_PART = 400_000
K = 10
EXPLORE_VALIDATION = 2_000

log = logging.getLogger("evergreen")


@dataclass(frozen=True)
class RankerFit:
    """A fitted ranker and how it got there."""

    graph: RankerGraph
    own: Fitted
    explore: Fitted


def fit_ranker(
    shop: Shop,
    params: TrainingParams,
    shop_params: ShopParams,
    *,
    epochs: tuple[int, int] | None = None,
) -> RankerFit:
    """Return the ranker fitted on `shop.train`, with item state as of `shop.cutoff`.

    Args:
        shop: What may be known.
        params: Of the training stage.
        shop_params: The seed.
        epochs: How long to train the network and the explore head when there is no validation.
    """
    seed = shop_params.seed
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    days = params.baselines.popular_days
    opens = by_cutoff(shop.validation)[0][0] if len(shop.validation) else shop.cutoff
    graph = RankerGraph(tables_of(shop, opens, days), params.ranker, code_counts(shop), seed)
    train = _training_pairs(shop, graph, params)
    own = _fit_own(graph, train, shop, params.ranker, seed, epochs and epochs[0])
    explore = _fit_explore(graph, shop, params, seed, epochs and epochs[1])
    if opens != shop.cutoff:
        graph = with_state_of(shop.cutoff, graph, shop, params)
    return RankerFit(graph, own, explore)


def with_state_of(
    cutoff: float, graph: RankerGraph, shop: Shop, params: TrainingParams
) -> RankerGraph:
    """Return the same weights over the item state and the catalogue of another cut-off."""
    tables = tables_of(shop, cutoff, params.baselines.popular_days)
    fresh = RankerGraph(tables, params.ranker, code_counts(shop), seed=0)
    fresh.network = graph.network
    for name, variable in graph.explore.learned().items():
        fresh.explore.learned()[name].assign(variable)
    return fresh


def _training_pairs(shop: Shop, graph: RankerGraph, params: TrainingParams) -> OwnPairs:
    extract = extractor(graph, params.ranker.n_ages)
    frozen = graph.features.state.numpy()
    parts = []
    for cutoff, examples in by_cutoff(shop.train):
        state = tables_of_state(shop, cutoff, params)
        graph.features.state.assign(state)
        labels = Labels.of(examples, shop)
        limit = params.ranker.maximum_candidates
        parts.append(own_pairs(shop.requests(examples), labels, extract, limit))
        log.info("features as of %s: %d pairs", _day(cutoff), len(parts[-1].item))
    graph.features.state.assign(frozen)
    return joined(parts)


def tables_of_state(shop: Shop, cutoff: float, params: TrainingParams) -> np.ndarray[Any, Any]:
    """Return only the numbers per item that change from cut-off to cut-off."""
    days = params.baselines.popular_days
    return item_state(shop.histories, len(shop.vocabulary), cutoff, popular_days=days).values


def _day(seconds: float) -> str:
    return f"{pd.Timestamp(seconds, unit='s'):%Y-%m-%d}"


def _fit_own(
    graph: RankerGraph,
    train: OwnPairs,
    shop: Shop,
    params: RankerParams,
    seed: int,
    epochs: int | None,
) -> Fitted:
    mean, deviation = moments_of(train.features)
    graph.network = build_network(mean, deviation, params)
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
    key = key_of(params, seed, epochs, train.features[::997], train.wanted)
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


def _fit_explore(
    graph: RankerGraph, shop: Shop, params: TrainingParams, seed: int, epochs: int | None
) -> Fitted:
    """Fit the explore head by softmax over its whole catalogue."""
    head, ranker = graph.explore, params.ranker
    groups = [
        (tables_of_state(shop, cutoff, params), _with_new(examples, shop, ranker.batch_size))
        for cutoff, examples in by_cutoff(shop.train)
    ]
    frozen = graph.features.state.numpy()

    def batches(random: np.random.Generator) -> Iterator[tuple[Any, ...]]:
        parts = [(state, part) for state, parts in groups for part in parts]
        for at in random.permutation(len(parts)):
            state, (requests, labels) = parts[at]
            graph.features.state.assign(state)
            yield (*tensors_of(requests).values(), tf.constant(labels))
        graph.features.state.assign(frozen)

    def loss(*inputs: tf.Tensor) -> tf.Tensor:
        batch = read_batch(dict(zip(SIGNATURE, inputs[:-1], strict=True)))
        return explore_loss(graph, batch, inputs[-1])

    schedule = Schedule(
        ranker.explore_epochs if epochs is None else epochs,
        ranker.patience,
        ranker.explore_learning_rate,
        ranker.weight_decay,
        seed,
    )
    return fit(
        "explore",
        list(head.learned().values()),
        batches=batches,
        n_batches=sum(len(parts) for _, parts in groups),
        loss=loss,
        validate=None if epochs is not None else _explore_validation(graph, shop),
        schedule=schedule,
        key=key_of(ranker, seed, epochs, shop.cutoff, len(shop.train), shop.vocabulary.ids),
    )


def explore_loss(graph: RankerGraph, batch: Batch, labels: tf.Tensor) -> tf.Tensor:
    """Return the mean negative log-probability of new items among all that are new to the user.

    Args:
        graph: With its explore head.
        batch: Requests.
        labels: [n_labels, 2] request and item index.
    """
    logits = graph.explore(batch)
    places = tf.gather(graph.catalogue_place, batch.own_item)
    inside = places >= 0
    own = tf.stack(
        [tf.boolean_mask(batch.own_row, inside), tf.boolean_mask(places, inside)], axis=1
    )
    logits = tf.tensor_scatter_nd_update(logits, own, tf.fill(tf.shape(own)[:1], NOTHING))
    log_probability = tf.nn.log_softmax(logits, axis=1)
    places = tf.gather(graph.catalogue_place, labels[:, 1])
    known = tf.boolean_mask(tf.stack([labels[:, 0], places], axis=1), places >= 0)
    found = tf.gather_nd(log_probability, known)
    new = tf.boolean_mask(found, found > NOTHING / 2)
    return -tf.reduce_sum(new) / tf.maximum(tf.cast(tf.size(new), tf.float32), 1.0)


def _with_new(examples: pd.DataFrame, shop: Shop, size: int) -> list[tuple[Any, Any]]:
    """Return batches of requests with their labels as [n_labels, 2] pairs."""
    found = []
    for start in range(0, len(examples), size):
        part = examples.iloc[start : start + size].reset_index(drop=True)
        labels = Labels.of(part, shop)
        pairs = np.stack([labels.key // labels.n_items, labels.key % labels.n_items], axis=1)
        found.append((shop.requests(part), pairs.astype(np.int32)))
    return found


def _explore_validation(graph: RankerGraph, shop: Shop) -> Any:
    """Return a function that scores the explore head: recall@10 of new items on validation."""
    rolling = shop.validation[shop.validation["protocol"] == "rolling"]
    step = max(1, len(rolling) // EXPLORE_VALIDATION)
    examples = rolling.iloc[::step].reset_index(drop=True)
    labels = Labels.of(examples, shop)
    rows, items = labels.key // labels.n_items, labels.key % labels.n_items
    requests = shop.requests(examples)

    @tf.function(input_signature=tuple(SIGNATURE.values()))  # type: ignore[untyped-decorator]
    def top(*inputs: tf.Tensor) -> tf.Tensor:
        batch = read_batch(dict(zip(SIGNATURE, inputs, strict=True)))
        return graph.top_catalogue(batch, tf.constant(K))[0]

    def validate() -> float:
        parts = [
            top(*tensors_of(requests.part(s, min(s + 256, len(requests)))).values()).numpy()
            for s in range(0, len(requests), 256)
        ]
        hits = ranking.hit_matrix(np.concatenate(parts), rows, items)
        n_new = new_counts(requests, rows, items, labels.n_items)
        return float(np.nanmean(ranking.recall_at_k(hits, n_new, K)))

    return validate


def new_counts(
    requests: Requests, rows: np.ndarray[Any, Any], items: np.ndarray[Any, Any], n_items: int
) -> np.ndarray[Any, Any]:
    """Return per request how many of its labels its user had never bought."""
    is_new = ~is_own(requests, rows, items, n_items)
    return np.bincount(rows[is_new], minlength=len(requests))

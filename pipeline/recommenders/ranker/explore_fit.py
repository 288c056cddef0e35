"""Fitting the explore head: softmax over its whole catalogue, of what each shopper never bought."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import FamiliesParams
from pipeline.metrics import ranking
from pipeline.recommenders.base.graph import SIGNATURE, Batch, read_batch, tensors_of
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.shop import ExampleBatch, TrainingData, is_own
from pipeline.recommenders.base.top import NOTHING
from pipeline.recommenders.fitting.fit import Fitted, Schedule, fit, key_of
from pipeline.recommenders.ranker.examples import Labels
from pipeline.recommenders.ranker.graph import RankerGraph, state_at
from pipeline.recommenders.ranker.transfer import learned_with, start_from, vectors_of

K = 10
EXPLORE_VALIDATION = 2_000


def fit_explore(
    graph: RankerGraph,
    shop: TrainingData,
    params: FamiliesParams,
    *,
    seed: int,
    epochs: int | None,
    vectors: np.ndarray[Any, Any] | None = None,
) -> Fitted:
    """Fit the explore head in place.

    Args:
        graph: With its explore head.
        shop: To learn from, and for its validation examples.
        params: Rates.
        seed: For everything random.
        epochs: How long to train when there is no validation.
        vectors: [n_items, dim] item vectors to transfer; None learns them if params ask for it.
    """
    head, ranker = graph.explore, params.ranker
    if ranker.item_vectors != "scratch":
        known = vectors_of(shop, params, seed=seed) if vectors is None else vectors
        start_from(head, known, ranker.item_vectors)
    groups = [
        (
            state_at(cutoff, shop, params.popular_days),
            _batches_of(asked, shop, ranker.explore_batch_size),
        )
        for cutoff, asked in shop.windows
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

    schedule = replace(
        Schedule.of(ranker, seed=seed, epochs=ranker.explore_epochs if epochs is None else epochs),
        learning_rate=ranker.explore_learning_rate,
    )
    return fit(
        "explore",
        learned_with(head, ranker.item_vectors),
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
    log_probability = tf.nn.log_softmax(graph.only_new(batch, graph.explore(batch)), axis=1)
    places = tf.gather(graph.catalogue_place, labels[:, 1])
    known = tf.boolean_mask(tf.stack([labels[:, 0], places], axis=1), places >= 0)
    found = tf.gather_nd(log_probability, known)
    new = tf.boolean_mask(found, found > NOTHING / 2)
    return -tf.reduce_sum(new) / tf.maximum(tf.cast(tf.size(new), tf.float32), 1.0)


def _batches_of(asked: ExampleBatch, shop: TrainingData, size: int) -> list[tuple[Any, Any]]:
    """Return batches of requests with their labels as [n_labels, 2] pairs."""
    found = []
    for start in range(0, len(asked.examples), size):
        part = asked.examples.iloc[start : start + size].reset_index(drop=True)
        requests = asked.requests.part(start, start + len(part))
        found.append((requests, Labels.of(part, shop).pairs))
    return found


def _explore_validation(graph: RankerGraph, shop: TrainingData) -> Any:
    """Return a function that scores the explore head: recall@10 of new items on validation."""
    asked = shop.validation_sample(EXPLORE_VALIDATION)
    rows, items = Labels.of(asked.examples, shop).pairs.T
    requests = asked.requests

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
        n_new = new_counts(requests, rows, items, len(shop.vocabulary))
        recall = ranking.recall_at_k(hits, n_new, K)[n_new > 0]
        return float(recall.mean()) if len(recall) else 0.0

    return validate


def new_counts(
    requests: Requests, rows: np.ndarray[Any, Any], items: np.ndarray[Any, Any], n_items: int
) -> np.ndarray[Any, Any]:
    """Return per request how many of its labels its user had never bought."""
    is_new = ~is_own(requests, rows, items, n_items)
    return np.bincount(rows[is_new], minlength=len(requests))

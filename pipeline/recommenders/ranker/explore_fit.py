"""Fit the explore head with a softmax over the new items of the catalogue."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import FamiliesParams
from pipeline.metrics import ranking
from pipeline.recommenders.base.batch import SIGNATURE, Batch, read_batch, to_tensors
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.top_k import NOTHING
from pipeline.recommenders.base.training_data import ExampleBatch, TrainingData, is_repeat_label
from pipeline.recommenders.fitting.fit import Fitted, Schedule, fit, key_of
from pipeline.recommenders.ranker.examples import Labels
from pipeline.recommenders.ranker.graph import RankerGraph, item_state_at
from pipeline.recommenders.ranker.transfer import fit_vectors, set_item_vectors, variables_to_fit

K = 10
EXPLORE_VALIDATION = 2_000


def fit_explore(
    graph: RankerGraph,
    data: TrainingData,
    params: FamiliesParams,
    *,
    seed: int,
    epochs: int | None,
    vectors: np.ndarray[Any, Any] | None = None,
) -> Fitted:
    """Fit the explore head in place.

    Args:
        graph: Graph that contains the explore head.
        data: Training and validation examples.
        params: Batch sizes, rates and kind of item vectors.
        seed: Seed of all random choices.
        epochs: Number of epochs without validation; None stops by validation.
        vectors: [n_items, dim] item vectors to transfer; None fits them if params ask for it.
    """
    head, ranker = graph.explore, params.ranker
    if ranker.item_vectors != "scratch":
        known = fit_vectors(data, params, seed=seed) if vectors is None else vectors
        set_item_vectors(head, known, ranker.item_vectors)
    groups = [
        (
            item_state_at(cutoff, data, params.popular_days),
            _build_batches(window, data, ranker.explore_batch_size),
        )
        for cutoff, window in data.windows
    ]
    frozen = graph.features.state.numpy()

    def batches(random: np.random.Generator) -> Iterator[tuple[Any, ...]]:
        parts = [(state, part) for state, parts in groups for part in parts]
        for at in random.permutation(len(parts)):
            state, (requests, labels) = parts[at]
            graph.features.state.assign(state)
            yield (*to_tensors(requests).values(), tf.constant(labels))
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
        variables_to_fit(head, ranker.item_vectors),
        batches=batches,
        n_batches=sum(len(parts) for _, parts in groups),
        loss=loss,
        validate=None if epochs is not None else _build_validation(graph, data),
        schedule=schedule,
        key=key_of(ranker, seed, epochs, data.cutoff, len(data.train), data.vocabulary.ids),
    )


def explore_loss(graph: RankerGraph, batch: Batch, labels: tf.Tensor) -> tf.Tensor:
    """Return the mean negative log-probability of the new labels among the user's new items.

    Args:
        graph: Graph that contains the explore head.
        batch: Requests.
        labels: [n_labels, 2] request and item index.
    """
    log_probability = tf.nn.log_softmax(graph.only_new(batch, graph.explore(batch)), axis=1)
    places = tf.gather(graph.catalogue_place, labels[:, 1])
    known = tf.boolean_mask(tf.stack([labels[:, 0], places], axis=1), places >= 0)
    label_scores = tf.gather_nd(log_probability, known)
    new = tf.boolean_mask(label_scores, label_scores > NOTHING / 2)
    return -tf.reduce_sum(new) / tf.maximum(tf.cast(tf.size(new), tf.float32), 1.0)


def _build_batches(window: ExampleBatch, data: TrainingData, size: int) -> list[tuple[Any, Any]]:
    """Return batches of requests with their labels as [n_labels, 2] pairs."""
    batches = []
    for start in range(0, len(window.examples), size):
        part = window.examples.iloc[start : start + size].reset_index(drop=True)
        requests = window.requests.part(start, start + len(part))
        batches.append((requests, Labels.of(part, data).pairs))
    return batches


def _build_validation(graph: RankerGraph, data: TrainingData) -> Any:
    """Return a function that computes the recall@10 of new items on validation."""
    sample = data.validation_sample(EXPLORE_VALIDATION)
    rows, items = Labels.of(sample.examples, data).pairs.T
    requests = sample.requests

    @tf.function(input_signature=tuple(SIGNATURE.values()))  # type: ignore[untyped-decorator]
    def top(*inputs: tf.Tensor) -> tf.Tensor:
        batch = read_batch(dict(zip(SIGNATURE, inputs, strict=True)))
        return graph.top_catalogue(batch, tf.constant(K))[0]

    def validate() -> float:
        parts = [
            top(*to_tensors(requests.part(s, min(s + 256, len(requests)))).values()).numpy()
            for s in range(0, len(requests), 256)
        ]
        hits = ranking.hit_matrix(np.concatenate(parts), rows, items)
        n_new = count_new(requests, rows, items, len(data.vocabulary))
        recall = ranking.recall_at_k(hits, n_new, K)[n_new > 0]
        return float(recall.mean()) if len(recall) else 0.0

    return validate


def count_new(
    requests: Requests, rows: np.ndarray[Any, Any], items: np.ndarray[Any, Any], n_items: int
) -> np.ndarray[Any, Any]:
    """Return [n] the number of labels per request that are new items."""
    is_new = ~is_repeat_label(requests, rows, items, n_items)
    return np.bincount(rows[is_new], minlength=len(requests))

"""Fitting families that see a shopper as a bag of items: batches, losses, when to stop."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.recommenders.base.graph import tensors_of
from pipeline.recommenders.base.shop import TrainingData, labels_of
from pipeline.recommenders.fitting.family import validation_opens
from pipeline.recommenders.fitting.fit import Fitted, Schedule, fit, key_of
from pipeline.recommenders.vectors.bags import Array, Task

Batches = Callable[[np.random.Generator], Iterator[tuple[Any, ...]]]


def log_shares(shop: TrainingData) -> Array:
    """Return [n_items] the log share of all purchases before validation opens, smoothed by 1."""
    past = shop.histories.time < validation_opens(shop)
    counts = np.bincount(shop.histories.item[past], minlength=len(shop.vocabulary)) + 1.0
    return np.asarray(np.log(counts / counts.sum()), dtype=np.float32)


def request_batches(shop: TrainingData, size: int) -> tuple[Batches, int]:
    """Return what yields the batches of an epoch, and their number.

    A batch is the tensors of SIGNATURE, then [n_labels, 2] request and item index of what was
    bought, then [2] a seed for what is random in the loss.
    """
    train = shop.train

    def batches(random: np.random.Generator) -> Iterator[tuple[Any, ...]]:
        order = random.permutation(len(train))
        for start in range(0, len(order), size):
            part = train.iloc[order[start : start + size]]
            rows, items = labels_of(part, shop.vocabulary)
            labels = np.stack([rows, items], axis=1)[items > 0]
            seed = random.integers(0, 2**31, size=2, dtype=np.int32)
            requests = tensors_of(shop.requests(part)).values()
            yield (*requests, tf.constant(labels), tf.constant(seed))

    return batches, max(1, -(-len(train) // size))


def label_log_probability(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return [n_labels] log softmax of each label over all items but index 0.

    Args:
        logits: [n, n_items].
        labels: [n_labels, 2] request and item index.
    """
    log_probability = tf.nn.log_softmax(logits[:, 1:], axis=1)
    return tf.gather_nd(log_probability, labels - [[0, 1]])


def mean_of(values: tf.Tensor) -> tf.Tensor:
    """Return the mean; 0 of nothing."""
    return tf.reduce_sum(values) / tf.maximum(tf.cast(tf.size(values), tf.float32), 1.0)


def fit_task(
    name: str,
    task: Task[Any],
    variables: list[Any],
    *,
    batches: tuple[Batches, int],
    loss: Callable[..., tf.Tensor],
    validate: Callable[[], float],
) -> Fitted:
    """Fit `variables` in place, as long as the task's section says.

    Args:
        name: Of the family.
        task: What is learned from.
        variables: What is learned, and other state to keep.
        batches: What yields those of an epoch, and their number.
        loss: From a batch to a scalar.
        validate: Returns the score to stop by; not used when the task says how long to train.
    """
    section = task.section
    fixed = task.epochs is not None
    known = len(task.shop.histories.item), len(task.shop.train), task.shop.cutoff
    return fit(
        name,
        variables,
        batches=batches[0],
        n_batches=batches[1],
        loss=loss,
        validate=None if fixed else validate,
        schedule=Schedule.of(section, seed=task.seed, epochs=task.epochs),
        key=key_of(section, task.seed, task.epochs, known, task.shop.vocabulary.ids),
    )

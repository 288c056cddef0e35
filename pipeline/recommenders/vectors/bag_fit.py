"""Fit families that see a user as a bag of items: batches, losses, early stopping."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.recommenders.base.batch import to_tensors
from pipeline.recommenders.base.training_data import TrainingData, encode_labels
from pipeline.recommenders.fitting.family import validation_start
from pipeline.recommenders.fitting.fit import Fitted, Schedule, fit, key_of
from pipeline.recommenders.vectors.bags import Array, Task

Batches = Callable[[np.random.Generator], Iterator[tuple[Any, ...]]]


def log_shares(data: TrainingData) -> Array:
    """Return [n_items] the log share of purchases before validation starts, smoothed by 1."""
    past = data.histories.time < validation_start(data)
    counts = np.bincount(data.histories.item[past], minlength=len(data.vocabulary)) + 1.0
    return np.asarray(np.log(counts / counts.sum()), dtype=np.float32)


def build_request_batches(data: TrainingData, size: int) -> tuple[Batches, int]:
    """Return a function that yields the batches of an epoch, and their number.

    A batch holds the tensors of SIGNATURE, [n_labels, 2] request and item index of the labels, and
    a [2] seed for the random parts of the loss.
    """
    train = data.train

    def batches(random: np.random.Generator) -> Iterator[tuple[Any, ...]]:
        order = random.permutation(len(train))
        for start in range(0, len(order), size):
            part = train.iloc[order[start : start + size]]
            rows, items = encode_labels(part, data.vocabulary)
            labels = np.stack([rows, items], axis=1)[items > 0]
            seed = random.integers(0, 2**31, size=2, dtype=np.int32)
            requests = to_tensors(data.build_requests(part)).values()
            yield (*requests, tf.constant(labels), tf.constant(seed))

    return batches, max(1, -(-len(train) // size))


def label_log_probability(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return [n_labels] the log softmax of each label over all items except index 0.

    Args:
        logits: [n, n_items].
        labels: [n_labels, 2] request and item index.
    """
    log_probability = tf.nn.log_softmax(logits[:, 1:], axis=1)
    return tf.gather_nd(log_probability, labels - [[0, 1]])


def mean_of(values: tf.Tensor) -> tf.Tensor:
    """Return the mean, 0 for an empty tensor."""
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
    """Fit `variables` in place with the epochs and rates of the task's section.

    Args:
        name: Name of the family.
        task: Training data and parameters.
        variables: Learned variables, and other state of the fit.
        batches: Function that yields the batches of an epoch, and their number.
        loss: Maps a batch to a scalar.
        validate: Returns the score for early stopping; unused if the task sets the epochs.
    """
    section = task.section
    fixed = task.epochs is not None
    known = len(task.data.histories.item), len(task.data.train), task.data.cutoff
    return fit(
        name,
        variables,
        batches=batches[0],
        n_batches=batches[1],
        loss=loss,
        validate=None if fixed else validate,
        schedule=Schedule.of(section, seed=task.seed, epochs=task.epochs),
        key=key_of(section, task.seed, task.epochs, known, task.data.vocabulary.ids),
    )

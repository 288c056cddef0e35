"""Item2vec: word2vec over baskets, so that items bought together get similar vectors.

Skip-gram with negative sampling aligns the vector of a line with the context vector of another
line of its basket, and separates it from those of random items. A user is the decayed sum of the
unit vectors of their purchases; the score is the cosine.

Design choices:

- A basket has no order, so its window is the whole basket; partners are redrawn every epoch.
- A batch shares its negatives, which needs one matrix product instead of many small ones.
- The mean vector is subtracted: it carries no information about co-occurrence, but would dominate
  the sum of a user's purchases.
- `fit_item_vectors` also provides initial embeddings for the ranker's explore head.

References:
    Barkan and Koenigstein, 2016, arXiv:1603.04259.
    Subtraction of the mean: Mu, Bhat and Viswanath, 2018, arXiv:1702.01417.
    Mikolov, Sutskever, Chen, Corrado and Dean, 2013, arXiv:1310.4546.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import Item2VecParams
from pipeline.recommenders.base.batch import Batch
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.fitting.family import validation_start
from pipeline.recommenders.fitting.fit import Fitted
from pipeline.recommenders.fitting.stopping import build_list_validation
from pipeline.recommenders.vectors.bag_fit import Batches, fit_task
from pipeline.recommenders.vectors.bags import (
    Array,
    BagFamily,
    BagGraph,
    Parts,
    Task,
    sum_rows,
    widen_parts,
)

NAME = "item2vec"
SHARED_NEGATIVES = 256
NEGATIVE_POWER = 0.75


class Item2VecGraph(BagGraph):
    """Graph of unit item vectors; all biases are 0, so equal cosines rank by popularity."""

    def embed(self, batch: Batch) -> tf.Tensor:
        """Return [n, dim] the weighted sum of the directions of the items bought before."""
        return sum_rows(self.unit_bag(batch), self.items, batch)


def group_baskets(data: TrainingData) -> tuple[Array, Array]:
    """Return the lines before validation starts of baskets with two items or more.

    Returns:
        [n_lines] item index, and [n_lines] number of the basket, ascending from 0.
    """
    lines = data.histories
    past = lines.time < validation_start(data)
    user = np.repeat(np.arange(len(lines.user_ids)), np.diff(lines.row_splits))[past]
    key = user.astype(np.int64) * (int(lines.basket.max(initial=0)) + 1) + lines.basket[past]
    order = np.argsort(key, kind="stable")
    _, number, size = np.unique(key[order], return_inverse=True, return_counts=True)
    several = size[number] > 1
    kept = np.unique(number[several], return_inverse=True)[1]
    return lines.item[past][order][several], kept


def draw_partners(basket: Array, random: np.random.Generator) -> Array:
    """Return [n_lines] the position of a random other line of the same basket.

    Args:
        basket: [n_lines] ascending number of the basket; each has two lines or more.
        random: Random generator.

    >>> draw_partners(np.array([0, 0, 1, 1]), np.random.default_rng(0)).tolist()
    [1, 0, 3, 2]
    """
    size = np.bincount(basket)
    first = np.cumsum(size) - size
    place = np.arange(len(basket)) - first[basket]
    step = 1 + np.floor(random.random(len(basket)) * (size[basket] - 1)).astype(np.int64)
    return np.asarray(first[basket] + (place + step) % size[basket])


def keep_probability(item: Array, threshold: float) -> Array:
    """Return [n_lines] the probability of using a line; frequent items are subsampled.

    >>> keep_probability(np.array([1, 1, 1, 2]), 0.1875).tolist()
    [0.5, 0.5, 0.5, 0.8660254037844386]
    """
    share = np.bincount(item) / max(len(item), 1)
    return np.minimum(np.sqrt(threshold / share[item]), 1.0)


def build_pair_batches(data: TrainingData, section: Item2VecParams) -> tuple[Batches, int]:
    """Return a function that yields the batches of an epoch, and their number.

    A batch holds [n] items, [n] partners and [n_shared] negatives.
    """
    item, basket = group_baskets(data)
    kept = keep_probability(item, section.frequent_share)
    counts = np.bincount(item, minlength=len(data.vocabulary)).astype(float)
    reach = np.cumsum(counts**NEGATIVE_POWER)
    n_batches = max(1, round(float(kept.sum()) / section.batch_size))

    def batches(random: np.random.Generator) -> Iterator[tuple[Any, ...]]:
        company = item[draw_partners(basket, random)] if len(item) else item
        order = random.permutation(np.flatnonzero(random.random(len(item)) < kept))
        for chosen in np.array_split(order, n_batches):
            drawn = random.random(SHARED_NEGATIVES) * reach[-1]
            negatives = np.searchsorted(reach, drawn, side="right").astype(np.int32)
            yield tf.constant(item[chosen]), tf.constant(company[chosen]), tf.constant(negatives)

    return batches, n_batches


def skip_gram_loss(
    inside: tf.Tensor, company: tf.Tensor, negatives: tf.Tensor, n_negatives: int
) -> tf.Tensor:
    """Return the mean negative log-likelihood of partners against random items.

    Args:
        inside: [n, dim] vectors of the lines.
        company: [n, dim] context vectors of their partners.
        negatives: [n_shared, dim] context vectors of random items, shared by all lines.
        n_negatives: Weight of the negatives, as a number of draws per line.
    """
    agree = tf.nn.softplus(-tf.reduce_sum(inside * company, axis=1))
    chance = tf.nn.softplus(tf.matmul(inside, negatives, transpose_b=True))
    losses = agree + n_negatives * tf.reduce_mean(chance, axis=1)
    return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32))


def learn(task: Task[Item2VecParams]) -> tuple[Parts, Fitted]:
    """Train the vectors and return their directions."""
    section, random = task.section, np.random.default_rng(task.seed)
    shape = (len(task.data.vocabulary), section.embedding_dim)
    start = random.normal(0.0, 0.5 / section.embedding_dim, shape).astype(np.float32)
    inside = tf.Variable(start, name="inside")
    context = tf.Variable(np.zeros(shape, np.float32), name="context")
    bias = np.zeros(shape[0], np.float32)

    def parts() -> Parts:
        centred = inside - tf.reduce_mean(inside[1:], axis=0)
        return {"items": tf.math.l2_normalize(centred, axis=1).numpy(), "bias": bias}

    graph = Item2VecGraph(task.popularity, section.explore_catalogue, section.decay_days, parts())

    def loss(item: tf.Tensor, company: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
        return skip_gram_loss(
            tf.gather(inside, item),
            tf.gather(context, company),
            tf.gather(context, negatives),
            section.n_negatives,
        )

    fitted = fit_task(
        NAME,
        task,
        [inside, context],
        batches=build_pair_batches(task.data, section),
        loss=loss,
        validate=build_list_validation(graph, task.data, lambda: graph.put(parts())),
    )
    return parts(), fitted


def fit_item_vectors(data: TrainingData, section: Item2VecParams, *, seed: int) -> Array:
    """Return [n_items, dim] directions learned from all baskets before validation starts.

    Items outside the most-bought ones get zeros. The fit runs for all of `section.epochs`, so a
    refit on more data needs no validation.
    """
    task, chosen = Task.of(data, section, 1, seed, section.epochs)
    parts, _ = learn(task)
    return widen_parts(parts, Item2VecGraph.PER_ITEM, chosen, len(data.vocabulary))["items"]


FAMILY = BagFamily(NAME, Item2VecGraph, learn)

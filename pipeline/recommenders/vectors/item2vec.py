"""Item2vec: items bought together lie close, learned as words are from sentences.

Skip-gram with negative sampling over baskets: for a line and another line of its basket, the
vector of the one and the context vector of the other must agree, those of items at random not. A
shopper is the decayed sum of the directions of what they bought, and the score is the cosine.

Design choices:

- A basket has no order, so its window is the whole basket; partners are drawn anew every epoch.
- Negatives are shared by a batch: one matrix product instead of many small ones.
- The mean vector is taken off: all items share it, so it says nothing of their company, and it
  would drown what does in a shopper's sum.
- The vectors serve others too (`item_vectors`): learned once, they start the embeddings of the
  ranker's explore head.

References:
    Barkan and Koenigstein, 2016, arXiv:1603.04259.
    Without the mean: Mu, Bhat and Viswanath, 2018, arXiv:1702.01417.
    Mikolov, Sutskever, Chen, Corrado and Dean, 2013, arXiv:1310.4546.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import Item2VecParams
from pipeline.recommenders.base.graph import Batch
from pipeline.recommenders.base.shop import TrainingData
from pipeline.recommenders.fitting.family import validation_opens
from pipeline.recommenders.fitting.fit import Fitted
from pipeline.recommenders.fitting.stopping import ndcg_of_lists
from pipeline.recommenders.vectors.bag_fit import Batches, fit_task
from pipeline.recommenders.vectors.bags import Array, BagFamily, BagGraph, Parts, Task, mix, widened

NAME = "item2vec"
SHARED_NEGATIVES = 256
NEGATIVE_POWER = 0.75


class Item2VecGraph(BagGraph):
    """items: directions of length 1; bias: 0, so equal cosines keep the order of popularity."""

    def embed(self, batch: Batch) -> tf.Tensor:
        """Return [n, dim] the weighted sum of the directions of the items bought before."""
        return mix(self.unit_bag(batch), self.items, batch)


def baskets_of(shop: TrainingData) -> tuple[Array, Array]:
    """Return the lines before validation opens, basket by basket, of baskets of two or more.

    Returns:
        [n_lines] item index, and [n_lines] number of the basket, ascending from 0.
    """
    lines = shop.histories
    past = lines.time < validation_opens(shop)
    user = np.repeat(np.arange(len(lines.user_ids)), np.diff(lines.row_splits))[past]
    key = user.astype(np.int64) * (int(lines.basket.max(initial=0)) + 1) + lines.basket[past]
    order = np.argsort(key, kind="stable")
    _, number, size = np.unique(key[order], return_inverse=True, return_counts=True)
    several = size[number] > 1
    kept = np.unique(number[several], return_inverse=True)[1]
    return lines.item[past][order][several], kept


def partners(basket: Array, random: np.random.Generator) -> Array:
    """Return [n_lines] the position of another line of the same basket, each as likely.

    Args:
        basket: [n_lines] ascending number of the basket; each has two lines or more.
        random: Draws them.

    >>> partners(np.array([0, 0, 1, 1]), np.random.default_rng(0)).tolist()
    [1, 0, 3, 2]
    """
    size = np.bincount(basket)
    first = np.cumsum(size) - size
    place = np.arange(len(basket)) - first[basket]
    step = 1 + np.floor(random.random(len(basket)) * (size[basket] - 1)).astype(np.int64)
    return np.asarray(first[basket] + (place + step) % size[basket])


def keep_probability(item: Array, threshold: float) -> Array:
    """Return [n_lines] how likely a line is used: frequent items say little about their company.

    >>> keep_probability(np.array([1, 1, 1, 2]), 0.1875).tolist()
    [0.5, 0.5, 0.5, 0.8660254037844386]
    """
    share = np.bincount(item) / max(len(item), 1)
    return np.minimum(np.sqrt(threshold / share[item]), 1.0)


def pair_batches(shop: TrainingData, section: Item2VecParams) -> tuple[Batches, int]:
    """Return what yields the batches of an epoch, and their number.

    A batch is [n] items, [n] items of their company, [n_shared] negatives.
    """
    item, basket = baskets_of(shop)
    kept = keep_probability(item, section.frequent_share)
    counts = np.bincount(item, minlength=len(shop.vocabulary)).astype(float)
    reach = np.cumsum(counts**NEGATIVE_POWER)
    n_batches = max(1, round(float(kept.sum()) / section.batch_size))

    def batches(random: np.random.Generator) -> Iterator[tuple[Any, ...]]:
        company = item[partners(basket, random)] if len(item) else item
        order = random.permutation(np.flatnonzero(random.random(len(item)) < kept))
        for chosen in np.array_split(order, n_batches):
            drawn = random.random(SHARED_NEGATIVES) * reach[-1]
            negatives = np.searchsorted(reach, drawn, side="right").astype(np.int32)
            yield tf.constant(item[chosen]), tf.constant(company[chosen]), tf.constant(negatives)

    return batches, n_batches


def skip_gram_loss(
    inside: tf.Tensor, company: tf.Tensor, negatives: tf.Tensor, n_negatives: int
) -> tf.Tensor:
    """Return the mean negative log-likelihood of telling company from chance.

    Args:
        inside: [n, dim] vectors of lines.
        company: [n, dim] context vectors of their company.
        negatives: [n_shared, dim] context vectors of random items, shared by all lines.
        n_negatives: How many of them each line counts for.
    """
    agree = tf.nn.softplus(-tf.reduce_sum(inside * company, axis=1))
    chance = tf.nn.softplus(tf.matmul(inside, negatives, transpose_b=True))
    each = agree + n_negatives * tf.reduce_mean(chance, axis=1)
    return tf.math.divide_no_nan(tf.reduce_sum(each), tf.cast(tf.size(each), tf.float32))


def learn(task: Task[Item2VecParams]) -> tuple[Parts, Fitted]:
    """Return directions after training."""
    section, random = task.section, np.random.default_rng(task.seed)
    shape = (len(task.shop.vocabulary), section.embedding_dim)
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
        batches=pair_batches(task.shop, section),
        loss=loss,
        validate=ndcg_of_lists(graph, task.shop, lambda: graph.put(parts())),
    )
    return parts(), fitted


def item_vectors(shop: TrainingData, section: Item2VecParams, *, seed: int) -> Array:
    """Return [n_items, dim] directions learned from all baskets before validation opens.

    Zeros where an item was never bought or is not among the most-bought. It trains for all of
    `section.epochs`, so a later fit on more data needs no validation.
    """
    task, chosen = Task.of(shop, section, 1, seed, section.epochs)
    parts, _ = learn(task)
    return widened(parts, Item2VecGraph.PER_ITEM, chosen, len(shop.vocabulary))["items"]


FAMILY = BagFamily(NAME, Item2VecGraph, learn)

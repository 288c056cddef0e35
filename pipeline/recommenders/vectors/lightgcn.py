"""LightGCN: vectors spread over the graph of who bought what, without weights in between.

Items have a first vector each. Along the edges, divided by the roots of both ends' degrees, it goes
to the shoppers, back to the items, and so on; the mean over all layers is the final vector.

Design choices:

- Inductive: shoppers have no first vector (zero), so a shopper's vector is a sum over the items
  in the request, and one who was not there in training is no special case. What an item sends
  to its shoppers in all layers is added up once, in `sources`.
- Edges are decayed counts as of the end of training, not 0 and 1: habits are heavier.
- The loss is the softmax over all items instead of BPR: with the most-bought items only it is
  cheap, and one sampled negative says little.

References:
    He, Deng, Wang, Li, Zhang and Wang, 2020, arXiv:2002.02126.
    Without first vectors of shoppers: Wu, Cao, Xu, Tan and Ma, 2022, arXiv:2207.05959.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import LightGcnParams
from pipeline.recommenders.base.graph import SIGNATURE, Batch, read_batch
from pipeline.recommenders.base.shop import TrainingData
from pipeline.recommenders.base.wall_clock import DAY
from pipeline.recommenders.fitting.family import validation_opens
from pipeline.recommenders.fitting.fit import Fitted
from pipeline.recommenders.fitting.stopping import ndcg_of_lists
from pipeline.recommenders.vectors.bag_fit import (
    fit_task,
    label_log_probability,
    log_shares,
    mean_of,
    request_batches,
)
from pipeline.recommenders.vectors.bags import Array, BagFamily, BagGraph, Parts, Task, mix

NAME = "lightgcn"


class LightGcnGraph(BagGraph):
    """items: the mean over the layers; sources: what an item sends to its shoppers."""

    PER_ITEM = ("items", "bias", "sources")

    def embed(self, batch: Batch) -> tf.Tensor:
        """Return [n, dim] one step along the edges of the request."""
        return self.embed_with(self.parts["sources"], batch)

    def embed_with(self, sources: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Return the same with other sources: those of this training step."""
        bag = self.bag(batch)
        degree = tf.math.unsorted_segment_sum(bag, batch.own_row, batch.n)
        sums = mix(bag, sources, batch)
        return sums / tf.sqrt(tf.maximum(degree, 1e-9))[:, tf.newaxis]


@dataclass(frozen=True)
class Edges:
    """The graph of shoppers and items.

    Attributes:
        normal: [n_users, n_items] sparse: weight / sqrt(degree of the user * of the item).
        item_degree: [n_items].
    """

    normal: tf.SparseTensor
    item_degree: Array

    @classmethod
    def of(cls, user: Array, item: Array, weight: Array, n_users: int, n_items: int) -> "Edges":
        """Add up the weights of equal pairs, and normalise.

        Args:
            user: [n] index.
            item: [n] index.
            weight: [n] > 0.
            n_users: Their number.
            n_items: Their number.
        """
        pair, place = np.unique(user.astype(np.int64) * n_items + item, return_inverse=True)
        total = np.bincount(place, weights=weight, minlength=len(pair))
        user, item = pair // n_items, pair % n_items
        of_user = np.bincount(user, weights=total, minlength=n_users)
        of_item = np.bincount(item, weights=total, minlength=n_items)
        values = total / np.sqrt(of_user[user] * of_item[item])
        where = np.stack([user, item], axis=1)
        normal = tf.SparseTensor(where, values.astype(np.float32), [n_users, n_items])
        return cls(normal, of_item.astype(np.float32))


def edges_of(shop: TrainingData, decay_days: float) -> Edges:
    """Return the edges before validation opens."""
    lines, opens = shop.histories, validation_opens(shop)
    user = np.repeat(np.arange(len(lines.user_ids)), np.diff(lines.row_splits))
    past = lines.time < opens
    weight = np.exp((lines.time[past] - opens) / DAY / decay_days)
    return Edges.of(user[past], lines.item[past], weight, len(lines.user_ids), len(shop.vocabulary))


def propagate(first: tf.Tensor, edges: Edges, n_layers: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the items' final vectors, and what each sends to its shoppers.

    A shopper's final vector is the sum over their items of weight * source, divided by the root
    of their own degree.

    Args:
        first: [n_items, dim] first vectors.
        edges: Of the graph.
        n_layers: How far they spread; shoppers start at zero, so from one layer on a vector
            reaches the other side, and from two on it comes back.
    """
    item = tf.convert_to_tensor(first)
    user = tf.zeros([edges.normal.shape[0], item.shape[1]])
    mean, sent = item, tf.zeros_like(item)
    for _ in range(n_layers):
        sent += item
        user, item = (
            tf.sparse.sparse_dense_matmul(edges.normal, item),
            tf.sparse.sparse_dense_matmul(edges.normal, user, adjoint_a=True),
        )
        mean += item
    root = np.sqrt(np.maximum(edges.item_degree, 1e-9))[:, None]
    reached = (edges.item_degree > 0)[:, None].astype(np.float32)
    return mean / (n_layers + 1), sent * reached / root / (n_layers + 1)


def learn(task: Task[LightGcnParams]) -> tuple[Parts, Fitted]:
    """Return the parts after training the first vectors."""
    section = task.section
    random, n_items = np.random.default_rng(task.seed), len(task.shop.vocabulary)
    edges = edges_of(task.shop, section.decay_days)
    start = random.normal(0.0, 0.1, (n_items, section.embedding_dim))
    first = tf.Variable(start.astype(np.float32))
    bias = tf.Variable(log_shares(task.shop))

    def parts() -> dict[str, tf.Tensor]:
        items, sources = propagate(first, edges, section.n_layers)
        return {"items": items, "bias": tf.identity(bias), "sources": sources}

    def values() -> Parts:
        return {name: tensor.numpy() for name, tensor in parts().items()}

    graph = LightGcnGraph(task.popularity, section.explore_catalogue, section.decay_days, values())

    def loss(*inputs: tf.Tensor) -> tf.Tensor:
        batch = read_batch(dict(zip(SIGNATURE, inputs[:-2], strict=True)))
        now = parts()
        users = graph.embed_with(now["sources"], batch)
        logits = tf.matmul(users, now["items"], transpose_b=True) + now["bias"]
        return -mean_of(label_log_probability(logits, inputs[-2]))

    fitted = fit_task(
        NAME,
        task,
        [first, bias],
        batches=request_batches(task.shop, section.batch_size),
        loss=loss,
        validate=ndcg_of_lists(graph, task.shop, lambda: graph.put(parts())),
    )
    return values(), fitted


FAMILY = BagFamily(NAME, LightGcnGraph, learn)

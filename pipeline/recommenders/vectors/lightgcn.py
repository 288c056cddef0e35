"""LightGCN: item vectors propagated over the purchase graph, without weights between layers.

Each item has an initial vector. Each layer propagates the vectors along the edges, divided by the
square roots of both degrees, from items to users and back. The final vector is the mean over all
layers.

Design choices:

- Inductive: users have no initial vector, so a user's vector is a sum over the items in the
  request, and users unseen in training need no special case. `sources` holds the sum of what an
  item sends to its users in all layers.
- Edge weights are decayed purchase counts at the end of training, so habits weigh more.
- The loss is the softmax over all items instead of BPR: it is cheap for the most-bought items,
  and more informative than a single sampled negative.

References:
    He, Deng, Wang, Li, Zhang and Wang, 2020, arXiv:2002.02126.
    No initial user vectors: Wu, Cao, Xu, Tan and Ma, 2022, arXiv:2207.05959.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import LightGcnParams
from pipeline.recommenders.base.batch import SIGNATURE, Batch, read_batch
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.base.wall_clock import DAY
from pipeline.recommenders.fitting.family import validation_start
from pipeline.recommenders.fitting.fit import Fitted
from pipeline.recommenders.fitting.stopping import build_list_validation
from pipeline.recommenders.vectors.bag_fit import (
    build_request_batches,
    fit_task,
    label_log_probability,
    log_shares,
    mean_of,
)
from pipeline.recommenders.vectors.bags import Array, BagFamily, BagGraph, Parts, Task, sum_rows

NAME = "lightgcn"


class LightGcnGraph(BagGraph):
    """Graph of `items`, the mean over the layers, and `sources`, the vectors sent to users."""

    PER_ITEM = ("items", "bias", "sources")

    def embed(self, batch: Batch) -> tf.Tensor:
        """Return [n, dim] user vectors, one step along the edges of the request."""
        return self.embed_with(self.parts["sources"], batch)

    def embed_with(self, sources: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Return the user vectors for the sources of the current training step."""
        bag = self.bag(batch)
        degree = tf.math.unsorted_segment_sum(bag, batch.repeat_row, batch.n)
        sums = sum_rows(bag, sources, batch)
        return sums / tf.sqrt(tf.maximum(degree, 1e-9))[:, tf.newaxis]


@dataclass(frozen=True)
class Edges:
    """Edges of the graph of users and items.

    Attributes:
        normal: [n_users, n_items] sparse: weight / sqrt(user degree * item degree).
        item_degree: [n_items] sum of the weights of an item.
    """

    normal: tf.SparseTensor
    item_degree: Array

    @classmethod
    def of(cls, user: Array, item: Array, weight: Array, n_users: int, n_items: int) -> "Edges":
        """Return the edges with the weights of equal pairs added and normalised.

        Args:
            user: [n] user index.
            item: [n] item index.
            weight: [n] > 0.
            n_users: Number of users.
            n_items: Number of items.
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


def build_edges(data: TrainingData, decay_days: float) -> Edges:
    """Return the edges of the purchases before validation starts."""
    lines, opens = data.histories, validation_start(data)
    user = np.repeat(np.arange(len(lines.user_ids)), np.diff(lines.row_splits))
    past = lines.time < opens
    weight = np.exp((lines.time[past] - opens) / DAY / decay_days)
    return Edges.of(user[past], lines.item[past], weight, len(lines.user_ids), len(data.vocabulary))


def propagate(first: tf.Tensor, edges: Edges, n_layers: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return [n_items, dim] final item vectors and [n_items, dim] sources.

    A user's final vector is the sum of weight * source over their items, divided by the square
    root of the user's degree.

    Args:
        first: [n_items, dim] initial vectors.
        edges: Edges of the graph.
        n_layers: Number of propagation steps. Users start at zero, so one step reaches the users
            and two steps reach the items again.
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
    """Train the initial vectors and return the parts."""
    section = task.section
    random, n_items = np.random.default_rng(task.seed), len(task.data.vocabulary)
    edges = build_edges(task.data, section.decay_days)
    start = random.normal(0.0, 0.1, (n_items, section.embedding_dim))
    first = tf.Variable(start.astype(np.float32))
    bias = tf.Variable(log_shares(task.data))

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
        batches=build_request_batches(task.data, section.batch_size),
        loss=loss,
        validate=build_list_validation(graph, task.data, lambda: graph.put(parts())),
    )
    return values(), fitted


FAMILY = BagFamily(NAME, LightGcnGraph, learn)

"""Base of families that embed users and items in one space and score by a dot product.

These families learn from item order or co-occurrence alone, without features. A user's vector is
computed from the history in the request, so users unseen in training need no special case. The
same vectors rank repeat candidates and new items.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.recommenders.base.batch import Batch
from pipeline.recommenders.base.graph import RankingGraph


class EmbeddingGraph(RankingGraph):
    """score = <user, item> + bias; a subclass computes the user's vector from the history."""

    def __init__(
        self,
        popularity: np.ndarray[Any, Any],
        explore_catalogue: int,
        items: np.ndarray[Any, Any],
        bias: np.ndarray[Any, Any],
    ) -> None:
        """Store the learned vectors.

        Args:
            popularity: [n_items] at the cut-off.
            explore_catalogue: Number of most popular items that may be explored.
            items: [n_items, dim] item vectors; row 0 is unused.
            bias: [n_items].
        """
        super().__init__(popularity, explore_catalogue)
        self.items = tf.Variable(items.astype(np.float32), trainable=False, name="items")
        self.bias = tf.Variable(bias.astype(np.float32), trainable=False, name="bias")

    def embed(self, batch: Batch) -> tf.Tensor:
        """Return [n, dim] the vector of each request's user."""
        raise NotImplementedError

    def score_repeat(self, batch: Batch) -> tf.Tensor:
        """Return [n_repeat] products of each user's vector with their repeat candidates'."""
        users = tf.gather(self.embed(batch), batch.repeat_row)
        items = tf.gather(self.items, batch.repeat_item)
        return tf.reduce_sum(users * items, axis=1) + tf.gather(self.bias, batch.repeat_item)

    def score_catalogue(self, batch: Batch) -> tf.Tensor:
        """Return [n, n_catalogue] products of each user's vector with the catalogue's."""
        items = tf.gather(self.items, self.catalogue)
        logits = tf.matmul(self.embed(batch), items, transpose_b=True)
        return logits + tf.gather(self.bias, self.catalogue)

"""Families that place shoppers and items in one space: the score is a product of two vectors.

They learn from the order or the company of items alone, without features. A shopper's vector is
computed from the history in the request, so a shopper who was not there in training is no
special case. The same vectors rank what was bought before and what was not.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.recommenders.base.graph import Batch, RankingGraph


class EmbeddingGraph(RankingGraph):
    """score = <user, item> + bias; a subclass says how a user's vector comes from the history."""

    def __init__(
        self,
        popularity: np.ndarray[Any, Any],
        explore_catalogue: int,
        items: np.ndarray[Any, Any],
        bias: np.ndarray[Any, Any],
    ) -> None:
        """Store what was learned.

        Args:
            popularity: [n_items] as of the cut-off.
            explore_catalogue: How many of the most popular items may be explored.
            items: [n_items, dim] vectors by which items are scored; row 0 is never used.
            bias: [n_items].
        """
        super().__init__(popularity, explore_catalogue)
        self.items = tf.Variable(items.astype(np.float32), trainable=False, name="items")
        self.bias = tf.Variable(bias.astype(np.float32), trainable=False, name="bias")

    def embed(self, batch: Batch) -> tf.Tensor:
        """Return [n, dim] the vector of each request's user."""
        raise NotImplementedError

    def score_own(self, batch: Batch) -> tf.Tensor:
        """Return the product with the vectors of the items bought before."""
        users = tf.gather(self.embed(batch), batch.own_row)
        items = tf.gather(self.items, batch.own_item)
        return tf.reduce_sum(users * items, axis=1) + tf.gather(self.bias, batch.own_item)

    def score_catalogue(self, batch: Batch) -> tf.Tensor:
        """Return the product with the vectors of the whole catalogue."""
        items = tf.gather(self.items, self.catalogue)
        logits = tf.matmul(self.embed(batch), items, transpose_b=True)
        return logits + tf.gather(self.bias, self.catalogue)

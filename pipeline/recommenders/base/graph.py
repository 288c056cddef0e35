"""TensorFlow graph from raw requests to ranked items, the base of every recommender.

A method is a subclass of `RankingGraph` that scores repeat candidates (items the user bought
before) and new items. The base class finds the candidates in the flat layout, excludes the cart
and takes the top k. Shapes: `n` requests, `n_lines` purchase lines, `n_repeat` pairs of a request
and a repeat candidate, `n_catalogue` items to explore.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.recommenders.base.batch import (
    K_SPEC,
    SIGNATURE,
    Batch,
    dense_cart,
    is_repeat_in_cart,
    read_batch,
)
from pipeline.recommenders.base.top_k import (
    NOTHING,
    mean_of_row,
    name_outputs,
    select_by_name,
    take,
    take_best,
    take_top_pairs,
)

Parts = tuple[Sequence[str], tf.Tensor]
Explainer = Callable[[tf.Tensor], Parts]


class RankingGraph(tf.Module):
    """Base of all methods; a subclass defines `score_repeat` and may define `score_catalogue`.

    A subclass that can decompose its scores overrides `explain_repeat` and `explain_catalogue`.

    Attributes:
        groups: Names of the contributions to a score, in the order of `serve_explained`.
        facts: Names of the values that `item_facts` returns.
    """

    groups: tuple[str, ...] = ("frequency", "taste", "popularity")
    facts: tuple[str, ...] = ()

    def __init__(self, popularity: np.ndarray[Any, Any], explore_catalogue: int) -> None:
        """Store the popular items and the catalogue.

        Args:
            popularity: [n_items] higher is more popular; items with 0 are never recommended.
            explore_catalogue: Number of most popular items that may be explored.
        """
        super().__init__()
        ranked = np.lexsort((np.arange(len(popularity)), -popularity))
        order = ranked[(ranked > 0) & (popularity[ranked] > 0)].astype(np.int32)
        catalogue = order[:explore_catalogue]
        place = np.full(len(popularity), -1, dtype=np.int32)
        place[catalogue] = np.arange(len(catalogue))
        by_popularity = np.empty(len(popularity), dtype=np.int64)
        by_popularity[ranked] = np.arange(len(popularity))
        self.popularity = tf.constant(popularity.astype(np.float32))
        self.by_popularity = tf.constant(by_popularity)
        self.popular = tf.constant(order)
        self.catalogue = tf.constant(catalogue)
        self.catalogue_place = tf.constant(place)

    def score_repeat(self, batch: Batch) -> tf.Tensor:
        """Return [n_repeat] scores of the repeat candidates, in single or double precision."""
        raise NotImplementedError

    def score_catalogue(self, batch: Batch) -> tf.Tensor:
        """Return [n, n_catalogue] scores of the items to explore: popularity unless overridden."""
        scores = tf.gather(self.popularity, self.catalogue)[tf.newaxis]
        return tf.repeat(scores, batch.n, axis=0)

    def explain_repeat(self, batch: Batch) -> tuple[tf.Tensor, Explainer]:
        """Return `score_repeat`, and a function that explains the scores of chosen pairs.

        The function takes [n, k] repeat candidates, -1 for none, and returns the names of groups
        and [n, k, n_names] their contributions, relative to the user's average repeat candidate.
        """
        scores = self.score_repeat(batch)

        def explain(pairs: tf.Tensor) -> Parts:
            typical = mean_of_row(scores[:, tf.newaxis], batch.repeat_row, batch.n)
            return ("taste",), (take(scores, pairs) - typical)[:, :, tf.newaxis]

        return scores, explain

    def explain_catalogue(self, batch: Batch) -> tuple[tf.Tensor, Explainer]:
        """Return `score_catalogue`, and a function that explains the scores of chosen items.

        The function takes [n, k] items of the catalogue, 0 for none, and returns the names of
        groups and [n, k, n_names] their contributions, relative to the catalogue's average.
        """
        scores = self.score_catalogue(batch)
        is_popular = type(self).score_catalogue is RankingGraph.score_catalogue

        def explain(items: tf.Tensor) -> Parts:
            places = tf.gather(self.catalogue_place, items)
            chosen_scores = tf.gather(tf.pad(scores, [[0, 0], [1, 0]]), places + 1, batch_dims=1)
            lead = chosen_scores - tf.reduce_mean(scores, axis=1, keepdims=True)
            return ("popularity" if is_popular else "taste",), lead[:, :, tf.newaxis]

        return scores, explain

    def item_facts(self, batch: Batch, items: tf.Tensor) -> tf.Tensor:  # noqa: ARG002
        """Return [n, k, n_facts] the facts of [n, k] items at the time of the request."""
        return tf.zeros(tf.concat([tf.shape(items), [0]], axis=0))

    @tf.function(input_signature=(*SIGNATURE.values(), K_SPEC))  # type: ignore[untyped-decorator]
    def serve(self, *inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return three ranked lists, [n, k] items with their scores; see `recommender.Ranked`.

        Args:
            inputs: The tensors of SIGNATURE in their order, then k.
        """
        batch = read_batch(dict(zip(SIGNATURE, inputs[:-1], strict=True)))
        k = inputs[-1]
        lists = {
            "repeat": self.top_repeat(batch, k),
            "explore": self.top_catalogue(batch, k),
            "popular": self.top_popular(batch, k),
        }
        return name_outputs(lists)

    @tf.function(input_signature=(*SIGNATURE.values(), K_SPEC))  # type: ignore[untyped-decorator]
    def serve_explained(self, *inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the outputs of `serve` with the contributions to each score.

        `<list>_why` is [n, k, n_groups] and `<list>_facts` is [n, k, n_facts]; `groups` and
        `facts` name their last axes.
        """
        batch = read_batch(dict(zip(SIGNATURE, inputs[:-1], strict=True)))
        k = inputs[-1]
        scores, explain_explore = self.explain_catalogue(batch)
        explore = self._top_new(batch, scores, k)
        popular = self.top_popular(batch, k)
        repeat, repeat_contributions = self.top_repeat_explained(batch, k)
        lists = {"repeat": repeat, "explore": explore, "popular": popular}
        contributions = {
            "repeat": repeat_contributions,
            "explore": explain_explore(explore[0]),
            "popular": (("popularity",), popular[1][:, :, tf.newaxis]),
        }
        outputs = name_outputs(lists)
        facts = self.item_facts(batch, tf.concat([items for items, _ in lists.values()], axis=1))
        for at, (name, (items, _)) in enumerate(lists.items()):
            outputs[f"{name}_why"] = select_by_name(*contributions[name], self.groups, items)
            outputs[f"{name}_facts"] = facts[:, at * k : (at + 1) * k]
        outputs["groups"] = tf.constant(self.groups, tf.string)
        outputs["facts"] = tf.constant(self.facts, tf.string)
        return outputs

    def top_repeat(self, batch: Batch, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the top k repeat candidates: [n, k] items and scores."""
        pairs, scores = self._top_repeat_pairs(batch, self.score_repeat(batch), k)
        return take(batch.repeat_item, pairs), scores

    def top_repeat_explained(
        self, batch: Batch, k: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], Parts]:
        """Return `top_repeat` and the contributions to each score."""
        repeat_scores, explain = self.explain_repeat(batch)
        pairs, scores = self._top_repeat_pairs(batch, repeat_scores, k)
        return (take(batch.repeat_item, pairs), scores), explain(pairs)

    def _top_repeat_pairs(
        self, batch: Batch, scores: tf.Tensor, k: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        nothing = tf.constant(NOTHING, scores.dtype)
        offered = tf.where(is_repeat_in_cart(batch), nothing, scores)
        return take_top_pairs(offered, batch.repeat_row, batch.n, k, ties=self._ties(batch))

    def _ties(self, batch: Batch) -> tf.Tensor:
        """Return [n_repeat] the key that breaks ties: recency, then popularity, then item id."""
        ago = tf.cast(tf.gather(batch.raw["baskets_ago"], batch.repeat_start), tf.int64)
        n_items = tf.cast(tf.size(self.by_popularity), tf.int64)
        return ago * n_items + tf.gather(self.by_popularity, batch.repeat_item)

    def top_catalogue(self, batch: Batch, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the top k new items of the catalogue: [n, k] items and scores."""
        return self._top_new(batch, self.score_catalogue(batch), k)

    def _top_new(
        self, batch: Batch, scores: tf.Tensor, k: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the top k new items by [n, n_catalogue] scores."""
        return take_best(self.only_new(batch, scores), self.catalogue, k)

    def only_new(self, batch: Batch, scores: tf.Tensor) -> tf.Tensor:
        """Return [n, n_catalogue] scores, NOTHING for repeat candidates and items in the cart."""
        rows = tf.concat([batch.repeat_row, batch.cart_row], axis=0)
        items = tf.concat([batch.repeat_item, batch.raw["cart_item"]], axis=0)
        width = tf.shape(scores)[1]
        places = tf.gather(self.catalogue_place, items)
        places = tf.where(places >= 0, places, width)  # a column that is dropped again
        where = tf.stack([rows, places], axis=1)
        nothing = tf.fill(tf.shape(rows), NOTHING)
        padded = tf.pad(scores, [[0, 0], [0, 1]])
        return tf.tensor_scatter_nd_update(padded, where, nothing)[:, :-1]

    def top_popular(self, batch: Batch, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the top k popular items without those in the cart."""
        cart = dense_cart(batch)
        width = tf.minimum(k + tf.shape(cart)[1], tf.shape(self.popular)[0])
        items = self.popular[:width]
        taken = tf.reduce_any(cart[:, :, tf.newaxis] == items, axis=1)
        scores = tf.where(taken, NOTHING, tf.gather(self.popularity, items))
        return take_best(scores, items, k)

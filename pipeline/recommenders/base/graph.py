"""The TensorFlow graph that every recommender is: raw requests in, ranked items out.

A method is a subclass of `RankingGraph` that scores the items which the user bought before, and
those which they did not. Everything else (finding candidates in the flat layout, leaving out the
cart, taking the best) is here, once. Shapes: `n` requests, `n_lines` purchase lines, `n_own`
pairs of a request and an item of its history, `n_catalogue` items to explore.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.top import (
    NOTHING,
    best,
    mean_of_row,
    named,
    spread,
    take,
    top_pairs,
)

LONG_AGO_DAYS = 400.0

SIGNATURE = {
    "row_splits": tf.TensorSpec([None], tf.int64),
    "item": tf.TensorSpec([None], tf.int32),
    "age_days": tf.TensorSpec([None], tf.float32),
    "baskets_ago": tf.TensorSpec([None], tf.int32),
    "quantity": tf.TensorSpec([None], tf.float32),
    "price": tf.TensorSpec([None], tf.float32),
    "store": tf.TensorSpec([None], tf.int32),
    "hour_of_week": tf.TensorSpec([None], tf.int32),
    "cart_splits": tf.TensorSpec([None], tf.int64),
    "cart_item": tf.TensorSpec([None], tf.int32),
    "viewed_splits": tf.TensorSpec([None], tf.int64),
    "viewed_item": tf.TensorSpec([None], tf.int32),
    "time": tf.TensorSpec([None], tf.float64),
    "time_known": tf.TensorSpec([None], tf.int32),
    "at_store": tf.TensorSpec([None], tf.int32),
    "local_weekday": tf.TensorSpec([None], tf.int32),
    "local_hour": tf.TensorSpec([None], tf.int32),
    "user_attributes": tf.TensorSpec([None, None], tf.int32),
}
K_SPEC = tf.TensorSpec([], tf.int32)


def tensors_of(requests: Requests) -> dict[str, tf.Tensor]:
    """Return the fields of `requests` as the tensors of SIGNATURE, in its order."""
    return {
        name: tf.convert_to_tensor(getattr(requests, name), dtype=spec.dtype)
        for name, spec in SIGNATURE.items()
    }


@dataclass(frozen=True)
class Batch:
    """Requests inside the graph, and the pairs of a request and an item that it bought before.

    Attributes:
        raw: The tensors of SIGNATURE.
        n: Number of requests.
        line_row: [n_lines] request of each line.
        line_own: [n_lines] which own item each line belongs to.
        own_item: [n_own] item index.
        own_row: [n_own] its request.
        own_start: [n_own] its first line, which is its latest purchase.
        own_count: [n_own] how many lines it has.
        n_baskets: [n] baskets before the request.
        cart_row: [n_cart_items] request of each item in a cart.
    """

    raw: dict[str, tf.Tensor]
    n: tf.Tensor
    line_row: tf.Tensor
    line_own: tf.Tensor
    own_item: tf.Tensor
    own_row: tf.Tensor
    own_start: tf.Tensor
    own_count: tf.Tensor
    n_baskets: tf.Tensor
    cart_row: tf.Tensor

    def own_sum(self, per_line: tf.Tensor) -> tf.Tensor:
        """Return sums over the lines of each own item: [n_lines, …] -> [n_own, …]."""
        return tf.math.segment_sum(per_line, self.line_own)

    def row_sum(self, per_line: tf.Tensor) -> tf.Tensor:
        """Return sums over the lines of each request: [n_lines, …] -> [n, …]."""
        return tf.math.unsorted_segment_sum(per_line, self.line_row, self.n)

    def row_max(self, per_line: tf.Tensor) -> tf.Tensor:
        """Return the largest over the lines of each request, at least 0."""
        found = tf.math.unsorted_segment_max(per_line, self.line_row, self.n)
        return tf.maximum(found, tf.zeros_like(found))


def read_batch(raw: dict[str, tf.Tensor]) -> Batch:
    """Return the batch with its own items found: runs of equal items among a request's lines."""
    n = tf.shape(raw["row_splits"])[0] - 1
    item = raw["item"]
    line_row = rows_of(raw["row_splits"], item)
    differs = tf.logical_or(item[1:] != item[:-1], line_row[1:] != line_row[:-1])
    is_start = tf.concat([item[:1] >= 0, differs], axis=0)
    own_start = tf.cast(tf.where(is_start)[:, 0], tf.int32)
    ends = tf.concat([own_start[1:], tf.shape(item)], axis=0)[: tf.shape(own_start)[0]]
    latest = tf.math.unsorted_segment_max(raw["baskets_ago"], line_row, n)
    return Batch(
        raw=raw,
        n=n,
        line_row=line_row,
        line_own=tf.cumsum(tf.cast(is_start, tf.int32)) - 1,
        own_item=tf.gather(item, own_start),
        own_row=tf.gather(line_row, own_start),
        own_start=own_start,
        own_count=ends - own_start,
        n_baskets=tf.cast(tf.maximum(latest, -1) + 1, tf.float32),
        cart_row=rows_of(raw["cart_splits"], raw["cart_item"]),
    )


def rows_of(splits: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Return [n_values] the row of each value, from where each row begins; as `tf.repeat` would.

    That is a dozen operations when it is exported; this is four.
    """
    starts = tf.cast(splits[1:-1], tf.int32)
    n_starts = tf.math.unsorted_segment_sum(starts * 0 + 1, starts, tf.shape(values)[0] + 1)
    return tf.cumsum(n_starts[:-1])


Parts = tuple[Sequence[str], tf.Tensor]
Why = Callable[[tf.Tensor], Parts]


class RankingGraph(tf.Module):
    """Base of all methods; a subclass defines `score_own` and may define `score_catalogue`.

    One that can say what its scores are made of defines `explain_own`, `explain_catalogue` too.

    Attributes:
        groups: Names of what contributes to a score, in the order of `serve_explained`.
        facts: Names of what `tell` says about a recommended item.
    """

    groups: tuple[str, ...] = ("frequency", "taste", "popularity")
    facts: tuple[str, ...] = ()

    def __init__(self, popularity: np.ndarray[Any, Any], explore_catalogue: int) -> None:
        """Store what is popular.

        Args:
            popularity: [n_items] higher is more popular; 0 is never recommended.
            explore_catalogue: How many of the most popular items may be explored.
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

    def score_own(self, batch: Batch) -> tf.Tensor:
        """Return [n_own] scores of the items that were bought before, in either precision."""
        raise NotImplementedError

    def score_catalogue(self, batch: Batch) -> tf.Tensor:
        """Return [n, n_catalogue] scores of the items to explore; popularity unless overridden."""
        scores = tf.gather(self.popularity, self.catalogue)[tf.newaxis]
        return tf.repeat(scores, batch.n, axis=0)

    def explain_own(self, batch: Batch) -> tuple[tf.Tensor, Why]:
        """Return `score_own`, and what contributes to it as a function of chosen pairs.

        That function takes [n, k] own pairs, -1 for none, and returns names of groups and
        [n, k, n_names]: how much higher the score is than if the item were like the user's others.
        """
        scores = self.score_own(batch)

        def why(pairs: tf.Tensor) -> Parts:
            typical = mean_of_row(scores[:, tf.newaxis], batch.own_row, batch.n)
            return ("taste",), (take(scores, pairs) - typical)[:, :, tf.newaxis]

        return scores, why

    def explain_catalogue(self, batch: Batch) -> tuple[tf.Tensor, Why]:
        """Return `score_catalogue`, and what contributes to it as a function of chosen items.

        That function takes [n, k] items of the catalogue, 0 for none, and returns names of groups
        and [n, k, n_names]: how much higher the score is than if the item were like the catalogue.
        """
        scores = self.score_catalogue(batch)
        is_popular = type(self).score_catalogue is RankingGraph.score_catalogue

        def why(items: tf.Tensor) -> Parts:
            places = tf.gather(self.catalogue_place, items)
            found = tf.gather(tf.pad(scores, [[0, 0], [1, 0]]), places + 1, batch_dims=1)
            lead = found - tf.reduce_mean(scores, axis=1, keepdims=True)
            return ("popularity" if is_popular else "taste",), lead[:, :, tf.newaxis]

        return scores, why

    def tell(self, batch: Batch, items: tf.Tensor) -> tf.Tensor:  # noqa: ARG002
        """Return [n, k, n_facts] what the method knows of [n, k] items now; 0 is the item 0."""
        return tf.zeros(tf.concat([tf.shape(items), [0]], axis=0))

    @tf.function(input_signature=(*SIGNATURE.values(), K_SPEC))  # type: ignore[untyped-decorator]
    def serve(self, *inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return three lists of [n, k] items with their scores; see `recommender.Ranked`.

        Args:
            inputs: The tensors of SIGNATURE in its order, then k.
        """
        batch = read_batch(dict(zip(SIGNATURE, inputs[:-1], strict=True)))
        k = inputs[-1]
        lists = {
            "repeat": self.top_repeat(batch, k),
            "explore": self.top_catalogue(batch, k),
            "popular": self.top_popular(batch, k),
        }
        return named(lists)

    @tf.function(input_signature=(*SIGNATURE.values(), K_SPEC))  # type: ignore[untyped-decorator]
    def serve_explained(self, *inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return what `serve` does, and per list what contributes to each score.

        `<list>_why` is [n, k, n_groups], `<list>_facts` [n, k, n_facts]; `groups` and `facts`
        are their names.
        """
        batch = read_batch(dict(zip(SIGNATURE, inputs[:-1], strict=True)))
        k = inputs[-1]
        scores, why_explore = self.explain_catalogue(batch)
        explore = self._top_new(batch, scores, k)
        popular = self.top_popular(batch, k)
        repeat, why_repeat = self.top_repeat_explained(batch, k)
        lists = {"repeat": repeat, "explore": explore, "popular": popular}
        why = {
            "repeat": why_repeat,
            "explore": why_explore(explore[0]),
            "popular": (("popularity",), popular[1][:, :, tf.newaxis]),
        }
        found = named(lists)
        facts = self.tell(batch, tf.concat([items for items, _ in lists.values()], axis=1))
        for at, (name, (items, _)) in enumerate(lists.items()):
            found[f"{name}_why"] = spread(*why[name], self.groups, items)
            found[f"{name}_facts"] = facts[:, at * k : (at + 1) * k]
        found["groups"] = tf.constant(self.groups, tf.string)
        found["facts"] = tf.constant(self.facts, tf.string)
        return found

    def top_repeat(self, batch: Batch, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the best of what the user bought before."""
        pairs, scores = self._top_own(batch, self.score_own(batch), k)
        return take(batch.own_item, pairs), scores

    def top_repeat_explained(
        self, batch: Batch, k: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], Parts]:
        """Return `top_repeat` and what contributes to each score."""
        own, why = self.explain_own(batch)
        pairs, scores = self._top_own(batch, own, k)
        return (take(batch.own_item, pairs), scores), why(pairs)

    def _top_own(
        self, batch: Batch, scores: tf.Tensor, k: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        nothing = tf.constant(NOTHING, scores.dtype)
        offered = tf.where(own_in_cart(batch), nothing, scores)
        return top_pairs(offered, batch.own_row, batch.n, k, ties=self._ties(batch))

    def _ties(self, batch: Batch) -> tf.Tensor:
        """Return [n_own] what comes first among equal scores: recent, then popular, then by id."""
        ago = tf.cast(tf.gather(batch.raw["baskets_ago"], batch.own_start), tf.int64)
        n_items = tf.cast(tf.size(self.by_popularity), tf.int64)
        return ago * n_items + tf.gather(self.by_popularity, batch.own_item)

    def top_catalogue(self, batch: Batch, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the best of what the user never bought."""
        return self._top_new(batch, self.score_catalogue(batch), k)

    def _top_new(
        self, batch: Batch, scores: tf.Tensor, k: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the best by [n, n_catalogue] scores of what the user never bought."""
        return best(self.only_new(batch, scores), self.catalogue, k)

    def only_new(self, batch: Batch, scores: tf.Tensor) -> tf.Tensor:
        """Return [n, n_catalogue] scores, NOTHING for what was bought before or is in the cart."""
        rows = tf.concat([batch.own_row, batch.cart_row], axis=0)
        items = tf.concat([batch.own_item, batch.raw["cart_item"]], axis=0)
        width = tf.shape(scores)[1]
        places = tf.gather(self.catalogue_place, items)
        places = tf.where(places >= 0, places, width)  # a column that is dropped again
        where = tf.stack([rows, places], axis=1)
        nothing = tf.fill(tf.shape(rows), NOTHING)
        padded = tf.pad(scores, [[0, 0], [0, 1]])
        return tf.tensor_scatter_nd_update(padded, where, nothing)[:, :-1]

    def top_popular(self, batch: Batch, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what is popular, the same for everyone but for the cart."""
        cart = dense_cart(batch)
        width = tf.minimum(k + tf.shape(cart)[1], tf.shape(self.popular)[0])
        items = self.popular[:width]
        taken = tf.reduce_any(cart[:, :, tf.newaxis] == items, axis=1)
        scores = tf.where(taken, NOTHING, tf.gather(self.popularity, items))
        return best(scores, items, k)


def dense_cart(batch: Batch) -> tf.Tensor:
    """Return [n, longest] item indices in the carts, -1 where a cart is shorter."""
    splits = batch.raw["cart_splits"]
    places = tf.range(tf.reduce_max(splits[1:] - splits[:-1], keepdims=False))
    at = splits[:-1, tf.newaxis] + places
    at = tf.where(at < splits[1:, tf.newaxis], at, -1)
    return tf.gather(tf.pad(batch.raw["cart_item"], [[1, 0]], constant_values=-1), at + 1)


def own_in_cart(batch: Batch) -> tf.Tensor:
    """Return [n_own] whether an own item is already in the cart."""
    cart = tf.gather(dense_cart(batch), batch.own_row)
    return tf.reduce_any(cart == batch.own_item[:, tf.newaxis], axis=1)

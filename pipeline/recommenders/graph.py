"""The TensorFlow graph that every recommender is: raw requests in, ranked items out.

A method is a subclass of `RankingGraph` that scores the items which the user bought before, and
those which they did not. Everything else (finding candidates in the flat layout, leaving out the
cart, taking the best) is here, once. Shapes: `n` requests, `n_lines` purchase lines, `n_own`
pairs of a request and an item of its history, `n_catalogue` items to explore.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.recommenders.requests import Requests

NOTHING = -1e9
LONG_AGO_DAYS = 400.0

SIGNATURE = {
    "row_splits": tf.TensorSpec([None], tf.int64),
    "item": tf.TensorSpec([None], tf.int32),
    "age_days": tf.TensorSpec([None], tf.float32),
    "baskets_ago": tf.TensorSpec([None], tf.int32),
    "quantity": tf.TensorSpec([None], tf.float32),
    "price": tf.TensorSpec([None], tf.float32),
    "cart_splits": tf.TensorSpec([None], tf.int64),
    "cart_item": tf.TensorSpec([None], tf.int32),
    "viewed_splits": tf.TensorSpec([None], tf.int64),
    "viewed_item": tf.TensorSpec([None], tf.int32),
    "time": tf.TensorSpec([None], tf.float64),
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
    lengths = raw["row_splits"][1:] - raw["row_splits"][:-1]
    n = tf.shape(lengths)[0]
    line_row = tf.repeat(tf.range(n), lengths)
    item = raw["item"]
    differs = tf.logical_or(item[1:] != item[:-1], line_row[1:] != line_row[:-1])
    is_start = tf.concat([tf.ones_like(item[:1], tf.bool), differs], axis=0)
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
    )


class RankingGraph(tf.Module):
    """Base of all methods; a subclass defines `score_own` and may define `score_catalogue`."""

    def __init__(self, popularity: np.ndarray[Any, Any], explore_catalogue: int) -> None:
        """Store what is popular.

        Args:
            popularity: [n_items] higher is more popular; 0 is never recommended.
            explore_catalogue: How many of the most popular items may be explored.
        """
        super().__init__()
        order = np.lexsort((np.arange(len(popularity)), -popularity))
        order = order[(order > 0) & (popularity[order] > 0)].astype(np.int32)
        catalogue = order[:explore_catalogue]
        place = np.full(len(popularity), -1, dtype=np.int32)
        place[catalogue] = np.arange(len(catalogue))
        self.popularity = tf.constant(popularity.astype(np.float32))
        self.popular = tf.constant(order)
        self.catalogue = tf.constant(catalogue)
        self.catalogue_place = tf.constant(place)

    def score_own(self, batch: Batch) -> tf.Tensor:
        """Return [n_own] scores of the items that were bought before."""
        raise NotImplementedError

    def score_catalogue(self, batch: Batch) -> tf.Tensor:
        """Return [n, n_catalogue] scores of the items to explore; popularity unless overridden."""
        scores = tf.gather(self.popularity, self.catalogue)[tf.newaxis]
        return tf.repeat(scores, batch.n, axis=0)

    @tf.function(input_signature=(*SIGNATURE.values(), K_SPEC))  # type: ignore[untyped-decorator]
    def serve(self, *inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return three lists of [n, k] items with their scores; see `recommender.Ranked`.

        Args:
            inputs: The tensors of SIGNATURE in its order, then k.
        """
        batch = read_batch(dict(zip(SIGNATURE, inputs[:-1], strict=True)))
        k = inputs[-1]
        repeat_items, repeat_scores = self.top_repeat(batch, k)
        explore_items, explore_scores = self.top_catalogue(batch, k)
        popular_items, popular_scores = self.top_popular(batch, k)
        return {
            "repeat_items": repeat_items,
            "repeat_scores": repeat_scores,
            "explore_items": explore_items,
            "explore_scores": explore_scores,
            "popular_items": popular_items,
            "popular_scores": popular_scores,
        }

    def top_repeat(self, batch: Batch, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the best of what the user bought before."""
        scores = tf.where(own_in_cart(batch), NOTHING, self.score_own(batch))
        return top_own(batch, scores, k)

    def top_catalogue(self, batch: Batch, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the best of what the user never bought."""
        scores = self.score_catalogue(batch)
        cart_row = _rows_of(batch.raw["cart_splits"])
        rows = tf.concat([batch.own_row, cart_row], axis=0)
        places = tf.gather(
            self.catalogue_place, tf.concat([batch.own_item, batch.raw["cart_item"]], axis=0)
        )
        inside = places >= 0
        where = tf.stack([tf.boolean_mask(rows, inside), tf.boolean_mask(places, inside)], axis=1)
        nothing = tf.fill(tf.shape(where)[:1], NOTHING)
        return _best(tf.tensor_scatter_nd_update(scores, where, nothing), self.catalogue, k)

    def top_popular(self, batch: Batch, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what is popular, the same for everyone but for the cart."""
        cart = dense_cart(batch)
        width = tf.minimum(k + tf.shape(cart)[1], tf.shape(self.popular)[0])
        items = self.popular[:width]
        taken = tf.reduce_any(cart[:, :, tf.newaxis] == items, axis=1)
        scores = tf.where(taken, NOTHING, tf.gather(self.popularity, items))
        return _best(scores, items, k)


def _best(scores: tf.Tensor, items: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the best `k` of [n, n_items] scores, padded with item 0."""
    missing = tf.maximum(k - tf.shape(scores)[1], 0)
    scores = tf.pad(scores, [[0, 0], [0, missing]], constant_values=NOTHING)
    items = tf.pad(items, [[0, missing]])
    top, places = tf.math.top_k(scores, k)
    real = top > NOTHING / 2
    return tf.where(real, tf.gather(items, places), 0), tf.where(real, top, 0.0)


def top_own(batch: Batch, scores: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return each request's best `k` own items; equal scores keep the order of item indices."""
    place = batch.own_row
    counts = tf.math.bincount(place, minlength=batch.n, maxlength=batch.n, dtype=tf.int32)
    first = tf.cumsum(counts, exclusive=True)
    column = tf.range(tf.shape(place)[0]) - tf.gather(first, place)
    width = tf.maximum(tf.reduce_max(counts, keepdims=False), k)
    where = tf.stack([place, column], axis=1)
    shape = tf.stack([batch.n, width])
    items = tf.scatter_nd(where, batch.own_item, shape)
    dense = tf.tensor_scatter_nd_update(tf.fill(shape, NOTHING), where, scores)
    top, columns = tf.math.top_k(dense, k)
    real = top > NOTHING / 2
    return (
        tf.where(real, tf.gather(items, columns, batch_dims=1), 0),
        tf.where(real, top, 0.0),
    )


def dense_cart(batch: Batch) -> tf.Tensor:
    """Return [n, longest] item indices in the carts, -1 where a cart is shorter."""
    splits = batch.raw["cart_splits"]
    ragged = tf.RaggedTensor.from_row_splits(batch.raw["cart_item"], splits, validate=False)
    return ragged.to_tensor(default_value=-1)


def own_in_cart(batch: Batch) -> tf.Tensor:
    """Return [n_own] whether an own item is already in the cart."""
    cart = tf.gather(dense_cart(batch), batch.own_row)
    return tf.reduce_any(cart == batch.own_item[:, tf.newaxis], axis=1)


def _rows_of(splits: tf.Tensor) -> tf.Tensor:
    return tf.repeat(tf.range(tf.shape(splits)[0] - 1), splits[1:] - splits[:-1])

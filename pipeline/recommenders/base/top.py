"""The best of the pairs of a request and an own item, which are flat, and of a whole catalogue."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

NOTHING = -1e9


def best(scores: tf.Tensor, items: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the best `k` of [n, n_items] scores, padded with item 0."""
    missing = tf.maximum(k - tf.shape(scores)[1], 0)
    scores = tf.pad(scores, [[0, 0], [0, missing]], constant_values=NOTHING)
    items = tf.pad(items, [[0, missing]])
    top, places = tf.math.top_k(scores, k)
    real = top > NOTHING / 2
    return tf.where(real, tf.gather(items, places), 0), tf.where(real, top, 0.0)


def top_pairs(
    scores: tf.Tensor, row: tf.Tensor, n: tf.Tensor, k: tf.Tensor, *, ties: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return [n, k] each request's best pairs, -1 for none, and their scores, 0 for none.

    The order is exact: a tie is decided by a key of its own, not by a small number that is added
    to the score and that single precision loses.

    Args:
        scores: [n_pairs], NOTHING for what must not be chosen; single or double precision.
        row: [n_pairs] the request of each, ascending.
        n: Number of requests.
        k: How many.
        ties: [n_pairs] int64; among equal scores of a request the lowest comes first.
    """
    dense, first, _ = in_rows(scores, row, n, least_width=k)
    keys, _, _ = in_rows(-ties, row, n, least_width=k, nothing=ties.dtype.min)
    _, order = tf.math.top_k(keys, tf.shape(keys)[1])
    top, places = tf.math.top_k(tf.gather(dense, order, batch_dims=1), k)
    columns = tf.gather(order, places, batch_dims=1)
    real = top > NOTHING / 2
    pairs = tf.where(real, first[:, tf.newaxis] + columns, -1)
    return pairs, tf.cast(tf.where(real, top, tf.zeros_like(top)), tf.float32)


def in_rows(
    values: tf.Tensor,
    row: tf.Tensor,
    n: tf.Tensor,
    *,
    least_width: tf.Tensor | int = 0,
    nothing: float = NOTHING,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the values of pairs as [n, width], where each row begins, and each pair's column.

    Args:
        values: [n_pairs].
        row: [n_pairs] ascending, 0..n-1.
        n: Number of rows.
        least_width: The width is that of the longest row, or this if that is more.
        nothing: What is in the places of no pair.
    """
    counts = tf.math.unsorted_segment_sum(tf.ones_like(row), row, n)
    first = tf.cumsum(counts, exclusive=True)
    column = tf.range(tf.shape(row)[0]) - tf.gather(first, row)
    width = tf.maximum(tf.reduce_max(counts, keepdims=False), least_width)
    dense = tf.fill(tf.stack([n, width]), tf.constant(nothing, values.dtype))
    where = tf.stack([row, column], axis=1)
    return tf.tensor_scatter_nd_update(dense, where, values), first, column


def rank_in_row(scores: tf.Tensor, row: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """Return [n_pairs] the rank from 0 of each pair in its row, the highest score first.

    Equal scores keep the order of the pairs. The arguments are those of `in_rows`.
    """
    dense, _, column = in_rows(scores, row, n)
    order = tf.argsort(dense, direction="DESCENDING", stable=True)
    ranks = tf.argsort(order)
    return tf.gather_nd(ranks, tf.stack([row, column], axis=1))


def take(values: tf.Tensor, pairs: tf.Tensor) -> tf.Tensor:
    """Return the values [n_pairs, …] of [n, k] pairs as [n, k, …], 0 for pair -1."""
    before = [[1, 0]] + [[0, 0]] * (values.shape.rank - 1)
    return tf.gather(tf.pad(values, before), pairs + 1)


def mean_of_row(values: tf.Tensor, row: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """Return the mean over the pairs of each request: [n_pairs, dim] -> [n, dim], 0 for none."""
    counts = tf.math.unsorted_segment_sum(tf.ones_like(values[:, :1]), row, n)
    return tf.math.divide_no_nan(tf.math.unsorted_segment_sum(values, row, n), counts)


def spread(
    names: Sequence[str], values: tf.Tensor, wanted: Sequence[str], items: tf.Tensor
) -> tf.Tensor:
    """Return [n, k, n_wanted] the values by the names that are wanted, 0 where there are none.

    Args:
        names: Of the values.
        values: [n, k, n_names].
        wanted: Names in the order wanted.
        items: [n, k] item index; 0 = no item, which has no values.
    """
    places = [names.index(name) + 1 if name in names else 0 for name in wanted]
    found = tf.gather(tf.pad(values, [[0, 0], [0, 0], [1, 0]]), places, axis=2)
    return found * tf.cast(items > 0, tf.float32)[:, :, tf.newaxis]


def named(lists: Mapping[str, tuple[tf.Tensor, tf.Tensor]]) -> dict[str, tf.Tensor]:
    """Return the items and scores of lists by the names that `recommender.Ranked` gives them."""
    parts = ("items", "scores")
    return {f"{name}_{parts[at]}": each[at] for name, each in lists.items() for at in (0, 1)}

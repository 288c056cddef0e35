"""Top-k selection over flat repeat candidates and over a dense catalogue."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

NOTHING = -1e9


def take_best(scores: tf.Tensor, items: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the items and scores of the top `k` of [n, n_items] scores, padded with item 0."""
    missing = tf.maximum(k - tf.shape(scores)[1], 0)
    scores = tf.pad(scores, [[0, 0], [0, missing]], constant_values=NOTHING)
    items = tf.pad(items, [[0, missing]])
    top, places = tf.math.top_k(scores, k)
    real = top > NOTHING / 2
    return tf.where(real, tf.gather(items, places), 0), tf.where(real, top, 0.0)


def take_top_pairs(
    scores: tf.Tensor, row: tf.Tensor, n: tf.Tensor, k: tf.Tensor, *, ties: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return [n, k] the top pairs of each request (-1 for none) and their scores (0 for none).

    A separate key breaks ties exactly; a small number added to the score would get lost in single
    precision.

    Args:
        scores: [n_pairs] single or double precision; NOTHING excludes a pair.
        row: [n_pairs] request of each pair, ascending.
        n: Number of requests.
        k: Number of pairs per request.
        ties: [n_pairs] int64; the lowest comes first among equal scores of a request.
    """
    dense, first, _ = to_rows(scores, row, n, least_width=k)
    keys, _, _ = to_rows(-ties, row, n, least_width=k, nothing=ties.dtype.min)
    _, order = tf.math.top_k(keys, tf.shape(keys)[1])
    top, places = tf.math.top_k(tf.gather(dense, order, batch_dims=1), k)
    columns = tf.gather(order, places, batch_dims=1)
    real = top > NOTHING / 2
    pairs = tf.where(real, first[:, tf.newaxis] + columns, -1)
    return pairs, tf.cast(tf.where(real, top, tf.zeros_like(top)), tf.float32)


def to_rows(
    values: tf.Tensor,
    row: tf.Tensor,
    n: tf.Tensor,
    *,
    least_width: tf.Tensor | int = 0,
    nothing: float = NOTHING,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the values as [n, width], [n] the start of each row and [n_pairs] each column.

    Args:
        values: [n_pairs].
        row: [n_pairs] ascending, 0..n-1.
        n: Number of rows.
        least_width: Minimum width; the width is otherwise that of the longest row.
        nothing: Padding value.
    """
    counts = tf.math.unsorted_segment_sum(tf.ones_like(row), row, n)
    first = tf.cumsum(counts, exclusive=True)
    column = tf.range(tf.shape(row)[0]) - tf.gather(first, row)
    width = tf.maximum(tf.reduce_max(counts, keepdims=False), least_width)
    dense = tf.fill(tf.stack([n, width]), tf.constant(nothing, values.dtype))
    where = tf.stack([row, column], axis=1)
    return tf.tensor_scatter_nd_update(dense, where, values), first, column


def rank_in_row(scores: tf.Tensor, row: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """Return [n_pairs] the rank of each pair in its row, 0 = highest score.

    Equal scores keep the order of the pairs. See `to_rows` for the arguments.
    """
    dense, _, column = to_rows(scores, row, n)
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


def select_by_name(
    names: Sequence[str], values: tf.Tensor, wanted: Sequence[str], items: tf.Tensor
) -> tf.Tensor:
    """Return [n, k, n_wanted] the values in the order of `wanted`, 0 for missing names.

    Args:
        names: Names of the values.
        values: [n, k, n_names].
        wanted: Names to select.
        items: [n, k] item index; the values of item 0 are 0.
    """
    places = [names.index(name) + 1 if name in names else 0 for name in wanted]
    selected = tf.gather(tf.pad(values, [[0, 0], [0, 0], [1, 0]]), places, axis=2)
    return selected * tf.cast(items > 0, tf.float32)[:, :, tf.newaxis]


def name_outputs(lists: Mapping[str, tuple[tf.Tensor, tf.Tensor]]) -> dict[str, tf.Tensor]:
    """Return the items and scores of the lists under the field names of `recommender.Ranked`."""
    parts = ("items", "scores")
    return {f"{name}_{parts[at]}": pair[at] for name, pair in lists.items() for at in (0, 1)}

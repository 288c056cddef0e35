"""Requests as tensors inside the graph, with their repeat candidates."""

from dataclasses import dataclass

import tensorflow as tf

from pipeline.recommenders.base.requests import Requests

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


def to_tensors(requests: Requests) -> dict[str, tf.Tensor]:
    """Return the fields of `requests` as the tensors of SIGNATURE, in its order."""
    return {
        name: tf.convert_to_tensor(getattr(requests, name), dtype=spec.dtype)
        for name, spec in SIGNATURE.items()
    }


@dataclass(frozen=True)
class Batch:
    """Requests inside the graph with their repeat candidates.

    Attributes:
        raw: The tensors of SIGNATURE.
        n: Number of requests.
        line_row: [n_lines] request of each line.
        line_repeat: [n_lines] repeat candidate of each line.
        repeat_item: [n_repeat] item index.
        repeat_row: [n_repeat] request.
        repeat_start: [n_repeat] first line of the candidate, its latest purchase.
        repeat_count: [n_repeat] number of lines.
        n_baskets: [n] baskets before the request.
        cart_row: [n_cart_items] request of each item in a cart.
    """

    raw: dict[str, tf.Tensor]
    n: tf.Tensor
    line_row: tf.Tensor
    line_repeat: tf.Tensor
    repeat_item: tf.Tensor
    repeat_row: tf.Tensor
    repeat_start: tf.Tensor
    repeat_count: tf.Tensor
    n_baskets: tf.Tensor
    cart_row: tf.Tensor

    def sum_by_repeat(self, per_line: tf.Tensor) -> tf.Tensor:
        """Return sums over the lines of each repeat candidate: [n_lines, …] -> [n_repeat, …]."""
        return tf.math.segment_sum(per_line, self.line_repeat)

    def sum_by_row(self, per_line: tf.Tensor) -> tf.Tensor:
        """Return sums over the lines of each request: [n_lines, …] -> [n, …]."""
        return tf.math.unsorted_segment_sum(per_line, self.line_row, self.n)

    def max_by_row(self, per_line: tf.Tensor) -> tf.Tensor:
        """Return the maximum over the lines of each request, at least 0: [n_lines, …] -> [n, …]."""
        largest = tf.math.unsorted_segment_max(per_line, self.line_row, self.n)
        return tf.maximum(largest, tf.zeros_like(largest))


def read_batch(raw: dict[str, tf.Tensor]) -> Batch:
    """Return the batch with its repeat candidates: runs of equal items in a request's lines."""
    n = tf.shape(raw["row_splits"])[0] - 1
    item = raw["item"]
    line_row = row_indices(raw["row_splits"], item)
    differs = tf.logical_or(item[1:] != item[:-1], line_row[1:] != line_row[:-1])
    is_start = tf.concat([item[:1] >= 0, differs], axis=0)
    repeat_start = tf.cast(tf.where(is_start)[:, 0], tf.int32)
    ends = tf.concat([repeat_start[1:], tf.shape(item)], axis=0)[: tf.shape(repeat_start)[0]]
    latest = tf.math.unsorted_segment_max(raw["baskets_ago"], line_row, n)
    return Batch(
        raw=raw,
        n=n,
        line_row=line_row,
        line_repeat=tf.cumsum(tf.cast(is_start, tf.int32)) - 1,
        repeat_item=tf.gather(item, repeat_start),
        repeat_row=tf.gather(line_row, repeat_start),
        repeat_start=repeat_start,
        repeat_count=ends - repeat_start,
        n_baskets=tf.cast(tf.maximum(latest, -1) + 1, tf.float32),
        cart_row=row_indices(raw["cart_splits"], raw["cart_item"]),
    )


def row_indices(splits: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Return [n_values] the row of each value, computed from the row splits.

    Exported to ONNX, `tf.repeat` takes a dozen operations; this takes four.
    """
    starts = tf.cast(splits[1:-1], tf.int32)
    n_starts = tf.math.unsorted_segment_sum(starts * 0 + 1, starts, tf.shape(values)[0] + 1)
    return tf.cumsum(n_starts[:-1])


def dense_cart(batch: Batch) -> tf.Tensor:
    """Return [n, longest] item indices in the carts, -1 where a cart is shorter."""
    splits = batch.raw["cart_splits"]
    places = tf.range(tf.reduce_max(splits[1:] - splits[:-1], keepdims=False))
    at = splits[:-1, tf.newaxis] + places
    at = tf.where(at < splits[1:, tf.newaxis], at, -1)
    return tf.gather(tf.pad(batch.raw["cart_item"], [[1, 0]], constant_values=-1), at + 1)


def is_repeat_in_cart(batch: Batch) -> tf.Tensor:
    """Return [n_repeat] whether a repeat candidate is already in the cart."""
    cart = tf.gather(dense_cart(batch), batch.repeat_row)
    return tf.reduce_any(cart == batch.repeat_item[:, tf.newaxis], axis=1)

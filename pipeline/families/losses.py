"""Listwise softmax over candidates of different number per request."""

import tensorflow as tf


def listwise_softmax(
    scores: tf.Tensor, wanted: tf.Tensor, row: tf.Tensor, n: tf.Tensor
) -> tf.Tensor:
    """Return the mean over requests of the mean negative log-probability of what was wanted.

    At the start, with equal scores, it is the mean log of the number of candidates.

    Args:
        scores: [n_pairs].
        wanted: [n_pairs] relevance; requests without any count nothing.
        row: [n_pairs] request, ascending.
        n: Number of requests.

    References:
        Cao et al., 2007, "Learning to rank", doi:10.1145/1273496.1273513.
    """
    peak = tf.stop_gradient(tf.math.unsorted_segment_max(scores, row, n))
    shifted = scores - tf.gather(peak, row)
    total = tf.math.unsorted_segment_sum(tf.exp(shifted), row, n)
    log_probability = shifted - tf.gather(tf.math.log(total), row)
    gain = tf.math.unsorted_segment_sum(wanted * log_probability, row, n)
    weight = tf.math.unsorted_segment_sum(wanted, row, n)
    counted = tf.reduce_sum(tf.cast(weight > 0, tf.float32))
    return -tf.reduce_sum(tf.math.divide_no_nan(gain, weight)) / tf.maximum(counted, 1.0)

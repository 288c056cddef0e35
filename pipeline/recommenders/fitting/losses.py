"""Listwise softmax over the candidates of each request."""

import tensorflow as tf

from pipeline.recommenders.base.top import NOTHING


def listwise_softmax(scores: tf.Tensor, wanted: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
    """Return the mean over requests of the mean negative log-probability of what was wanted.

    At the start, with equal scores, it is the mean log of the number of candidates.

    Args:
        scores: [n, length].
        wanted: [n, length] relevance, 0 where `there` is false; requests without any count nothing.
        there: [n, length] false where a request has fewer candidates than others.

    References:
        Cao et al., 2007, "Learning to rank", doi:10.1145/1273496.1273513.
    """
    log_probability = tf.nn.log_softmax(tf.where(there, scores, NOTHING), axis=1)
    gain = tf.reduce_sum(wanted * log_probability, axis=1)
    weight = tf.reduce_sum(wanted, axis=1)
    counted = tf.reduce_sum(tf.cast(weight > 0, tf.float32))
    return -tf.reduce_sum(tf.math.divide_no_nan(gain, weight)) / tf.maximum(counted, 1.0)

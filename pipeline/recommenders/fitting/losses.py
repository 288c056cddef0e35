"""Listwise softmax over the candidates of each request."""

import tensorflow as tf

from pipeline.recommenders.base.top_k import NOTHING


def listwise_softmax(scores: tf.Tensor, wanted: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return the mean over requests of the mean negative log-probability of the labels.

    With equal scores it is the mean log of the number of candidates.

    Args:
        scores: [n, length] scores of the candidates.
        wanted: [n, length] relevance, 0 outside `mask`; requests without labels are ignored.
        mask: [n, length] false for padding.

    References:
        Cao et al., 2007, "Learning to rank", doi:10.1145/1273496.1273513.
    """
    log_probability = tf.nn.log_softmax(tf.where(mask, scores, NOTHING), axis=1)
    gain = tf.reduce_sum(wanted * log_probability, axis=1)
    weight = tf.reduce_sum(wanted, axis=1)
    counted = tf.reduce_sum(tf.cast(weight > 0, tf.float32))
    return -tf.reduce_sum(tf.math.divide_no_nan(gain, weight)) / tf.maximum(counted, 1.0)

"""Losses over sampled negatives that represent the whole catalogue."""

import tensorflow as tf

NEVER = -1e9


def sampled_softmax(
    positive: tf.Tensor, negative: tf.Tensor, collides: tf.Tensor, log_q: tf.Tensor
) -> tf.Tensor:
    """Return [n] the estimated negative log-probability of each target among all items.

    Importance sampling estimates the sum over the other items: each sample j, drawn with
    probability q_j, represents 1 / (m q_j) items, so its logit is lowered by log(m q_j), the logQ
    correction. The target is always included and not corrected; a sample that equals the target
    is ignored. With equal logits and uniform samples the loss is about log(n_items).

    Args:
        positive: [n] logit of the target.
        negative: [n, m] logits of the shared samples.
        collides: [n, m] whether a sample equals the target.
        log_q: [m] log-probability of drawing each sample.

    References:
        Bengio and Senécal, 2008, doi:10.1109/TNN.2007.912312 (sampled softmax).
        Khrylchenko et al., 2025, arXiv:2507.09331 (the target needs no correction).
    """
    m = tf.cast(tf.shape(negative)[1], tf.float32)
    corrected = negative - log_q - tf.math.log(m)
    others = tf.reduce_logsumexp(tf.where(collides, NEVER, corrected), axis=1)
    return tf.math.softplus(others - positive)


def gbce_beta(n_negatives: int, n_items: int, t: float) -> float:
    """Return the exponent of the positive's probability in gBCE.

    Args:
        n_negatives: Samples per target.
        n_items: Number of items that can be recommended.
        t: Calibration: 0 is plain binary cross-entropy, 1 gives calibrated probabilities.

    >>> gbce_beta(1, 11, 1.0)
    0.1
    >>> gbce_beta(1, 11, 0.0)
    1.0
    """
    alpha = min(1.0, n_negatives / max(n_items - 1, 1))
    return alpha * (t * (1.0 - 1.0 / alpha) + 1.0 / alpha)


def gbce(positive: tf.Tensor, negative: tf.Tensor, collides: tf.Tensor, beta: float) -> tf.Tensor:
    """Return [n] the generalised binary cross-entropy, the mean over a target and its samples.

    -(beta log s(positive) + sum log(1 - s(negative))) / (m + 1), where s is the logistic function.

    Args:
        positive: [n] logit of the target.
        negative: [n, m] logits of uniform samples.
        collides: [n, m] whether a sample equals the target, which excludes it.
        beta: From `gbce_beta`.

    References:
        Petrov and Macdonald, 2023, arXiv:2308.07192.
    """
    others = tf.reduce_sum(tf.where(collides, 0.0, tf.math.softplus(negative)), axis=1)
    m = tf.cast(tf.shape(negative)[1], tf.float32)
    return (beta * tf.math.softplus(-positive) + others) / (m + 1.0)

"""Losses over sampled negatives, by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from pipeline.recommenders.sequence.sampled_losses import gbce, gbce_beta, sampled_softmax


def test_the_log_q_correction_by_hand() -> None:
    """Two samples, drawn with 0.2 and 0.5: each stands for 1 / (2 q) items, 2.5 and 1."""
    positive, negative = 1.5, (0.3, -0.7)
    others = math.exp(0.3) / (2 * 0.2) + math.exp(-0.7) / (2 * 0.5)
    expected = -math.log(math.exp(positive) / (math.exp(positive) + others))
    result = sampled_softmax(
        tf.constant([positive]),
        tf.constant([negative]),
        tf.constant([[False, False]]),
        tf.constant(np.log([0.2, 0.5]), tf.float32),
    )
    assert result.numpy() == pytest.approx([expected], rel=1e-6)


def test_a_sample_that_is_the_target_counts_nothing() -> None:
    expected = -math.log(1.0 / (1.0 + 1.0 / (2 * 0.5)))
    result = sampled_softmax(
        tf.constant([0.0]),
        tf.constant([[9.0, 0.0]]),
        tf.constant([[True, False]]),
        tf.constant(np.log([0.2, 0.5]), tf.float32),
    )
    assert result.numpy() == pytest.approx([expected], rel=1e-6)


def test_where_every_sample_is_the_target_there_is_nothing_to_learn() -> None:
    positive = tf.Variable([0.4])
    with tf.GradientTape() as tape:
        result = sampled_softmax(positive, tf.ones([1, 3]), tf.ones([1, 3], tf.bool), tf.zeros([3]))
    assert result.numpy() == pytest.approx([0.0])
    assert np.isfinite(tape.gradient(result, positive).numpy()).all()


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_samples_stand_for_the_whole_catalogue(power: float) -> None:
    """The mean of many estimated sums over the other items is the exact sum."""
    random = np.random.default_rng(4)
    logits, counts = random.normal(size=50), random.integers(1, 30, size=50)
    q = counts**power / (counts**power).sum()
    drawn = random.choice(50, size=(4000, 64), p=q)
    target = 7
    losses = sampled_softmax(
        tf.fill([4000], tf.constant(logits[target], tf.float32)),
        tf.constant(logits[drawn], tf.float32),
        tf.constant(drawn == target),
        tf.constant(np.log(q[drawn]), tf.float32),
    ).numpy()
    others = (np.exp(losses) - 1.0) * math.exp(logits[target])
    exact = np.exp(np.delete(logits, target)).sum()
    assert others.mean() == pytest.approx(exact, rel=0.01)


def test_gbce_by_hand() -> None:
    def logistic(x: float) -> float:
        return 1.0 / (1.0 + math.exp(-x))

    expected = -(
        math.log(logistic(0.8) ** 0.25) + math.log(1 - logistic(-0.4)) + math.log(1 - logistic(1.1))
    )
    result = gbce(
        tf.constant([0.8]),
        tf.constant([[-0.4, 1.1]]),
        tf.constant([[False, False]]),
        beta=0.25,
    )
    assert result.numpy() == pytest.approx([expected / 3], rel=1e-6)


def test_the_power_of_gbce_by_hand() -> None:
    """256 of 1,024 other items: the rate is 1/4; t = 0.75 gives (1/4)(0.75 (1 - 4) + 4)."""
    assert gbce_beta(256, 1025, 0.75) == pytest.approx(0.4375)


def test_more_samples_than_items_are_plain_cross_entropy() -> None:
    assert gbce_beta(256, 3, 0.75) == pytest.approx(1.0)
    assert gbce_beta(256, 1, 0.75) == pytest.approx(1.0)

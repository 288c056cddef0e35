"""The listwise loss against logarithms that were worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.recommenders.fitting.losses import listwise_softmax


def loss(scores: list[list[float]], wanted: list[list[float]], lengths: list[int]) -> float:
    mask = np.arange(len(scores[0])) < np.array(lengths)[:, np.newaxis]
    result = listwise_softmax(
        tf.constant(scores, tf.float32), tf.constant(wanted, tf.float32), tf.constant(mask)
    )
    return float(result)


def test_equal_scores_cost_the_logarithm_of_the_number_of_candidates() -> None:
    assert loss([[0.7] * 8], [[1, 0, 0, 0, 0, 0, 0, 0]], [8]) == pytest.approx(np.log(8))


def test_it_is_the_mean_over_requests_of_different_length() -> None:
    scores = [[0.0, 0.0, 50.0, 50.0], [0.0] * 4]
    wanted = [[1.0, 0, 0, 0], [1.0, 0, 0, 1.0]]
    assert loss(scores, wanted, [2, 4]) == pytest.approx(np.log([2, 4]).mean())


def test_a_score_of_log_three_has_three_quarters_of_the_probability() -> None:
    assert loss([[0.0, np.log(3)]], [[0, 1]], [2]) == pytest.approx(-np.log(3 / 4))


def test_relevance_weighs_the_wanted_items() -> None:
    # probabilities 1/4 and 3/4, weights 1 and 3
    expected = -(np.log(1 / 4) + 3 * np.log(3 / 4)) / 4
    assert loss([[0.0, np.log(3)]], [[1, 3]], [2]) == pytest.approx(expected)


def test_a_request_without_wanted_items_counts_nothing() -> None:
    assert loss([[0.0] * 2] * 2, [[1, 0], [0, 0]], [2, 2]) == pytest.approx(np.log(2))
    assert loss([[0.0] * 2], [[0, 0]], [2]) == 0.0


def test_a_request_without_candidates_counts_nothing() -> None:
    assert loss([[0.0] * 2] * 3, [[0, 0], [1, 0], [0, 0]], [0, 2, 0]) == pytest.approx(np.log(2))


def test_large_scores_do_not_overflow() -> None:
    assert loss([[1000.0, 1000.0]], [[1, 0]], [2]) == pytest.approx(np.log(2))

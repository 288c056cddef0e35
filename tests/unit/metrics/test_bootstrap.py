"""The bootstrap over users, with draws that were chosen by hand."""

import numpy as np
import pytest

from pipeline.metrics.bootstrap import Bootstrap, mean_over_users

NAN = float("nan")


def by_hand(confidence: float = 0.5) -> Bootstrap:
    """Two requests of one user and one of another; drawn: 0 twice, 1 twice, each once."""
    return Bootstrap(np.array([0, 0, 1]), np.array([[2, 0], [0, 2], [1, 1]]), confidence)


def test_the_interval_lies_between_quantiles_of_the_drawn_means() -> None:
    # means: 1/2, 1, 2/3; a quarter of the way from the lowest to the middle one, and so on
    low, high = by_hand().interval(np.array([1.0, 0.0, 1.0]))
    assert low == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert high == pytest.approx((2 / 3 + 1) / 2)


def test_missing_values_are_left_out() -> None:
    assert by_hand().interval(np.array([1.0, NAN, 1.0])) == (1.0, 1.0)


def test_an_interval_of_a_slice_sees_only_its_requests() -> None:
    values, chosen = np.array([1.0, 0.0, 0.25]), np.array([False, True, True])
    # means of the slice: 0, 1/4, 1/8
    low, high = by_hand().interval(values, chosen)
    assert (low, high) == pytest.approx((1 / 16, 3 / 16))


def test_a_draw_without_any_request_of_the_slice_counts_nothing() -> None:
    assert by_hand().interval(np.array([0.0, 0.0, 1.0]), np.array([False, False, True])) == (1, 1)


def test_a_paired_difference_is_that_of_each_request() -> None:
    paired = by_hand().paired(np.array([1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0]))
    # differences 1, 0, 0; drawn means 1/2, 0, 1/3
    assert paired["difference"] == pytest.approx(1 / 3)
    assert paired["low"] == pytest.approx(1 / 6)
    assert paired["high"] == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_a_difference_that_is_everywhere_the_same_is_certain() -> None:
    values = np.random.default_rng(0).random(60)
    bootstrap = Bootstrap.of(np.repeat(np.arange(20), 3), 200, 0.95, seed=1)
    paired = bootstrap.paired(values + 0.25, values)
    assert list(paired.values()) == pytest.approx([0.25] * 3)


def test_constant_values_have_an_interval_without_width() -> None:
    bootstrap = Bootstrap.of(np.repeat(np.arange(10), 5), 300, 0.95, seed=1)
    low, high = bootstrap.interval(np.full(50, 0.3))
    assert (low, high) == pytest.approx((0.3, 0.3))


def test_equal_requests_of_one_user_do_not_make_it_surer() -> None:
    values = np.random.default_rng(3).random(40)
    one_each = Bootstrap.of(np.arange(40), 2000, 0.95, seed=1)
    ten_each = Bootstrap.of(np.repeat(np.arange(40), 10), 2000, 0.95, seed=1)
    assert ten_each.interval(np.repeat(values, 10)) == pytest.approx(one_each.interval(values))
    unaware = Bootstrap.of(np.arange(400), 2000, 0.95, seed=1).interval(np.repeat(values, 10))
    width = np.diff(one_each.interval(values))[0]
    assert width == pytest.approx(np.diff(unaware)[0] * np.sqrt(10), rel=0.15)


def test_the_interval_is_that_of_the_normal_distribution_for_many_users() -> None:
    values = np.random.default_rng(5).random(900)
    low, high = Bootstrap.of(np.arange(900), 4000, 0.95, seed=2).interval(values)
    half = 1.96 * values.std() / 30
    assert low == pytest.approx(values.mean() - half, abs=0.002)
    assert high == pytest.approx(values.mean() + half, abs=0.002)


def test_every_draw_has_as_many_users_and_follows_from_the_seed() -> None:
    user = np.array([0, 1, 1, 2])
    one, same, other = (Bootstrap.of(user, 100, 0.9, seed) for seed in (7, 7, 8))
    assert (one.weights.sum(axis=1) == 3).all()
    np.testing.assert_array_equal(one.weights, same.weights)
    assert (one.weights != other.weights).any()


def test_each_user_weighs_the_same_in_the_mean_over_users() -> None:
    values, user = np.array([1.0, 0.0, 0.5, NAN, NAN]), np.array([0, 0, 1, 1, 2])
    assert mean_over_users(values, user) == 0.5


def test_the_standard_error_is_the_spread_of_the_drawn_means() -> None:
    # means: 1/2, 1, 2/3, around 13/18
    spread = np.sqrt(((1 / 2 - 13 / 18) ** 2 + (1 - 13 / 18) ** 2 + (2 / 3 - 13 / 18) ** 2) / 3)
    assert by_hand().standard_error(np.array([1.0, 0.0, 1.0])) == pytest.approx(spread)


def test_means_of_opposite_metrics_are_opposed_and_of_a_constant_one_independent() -> None:
    values = np.array([1.0, 0.0, 1.0])
    assert by_hand().correlation(values, 2 * values) == pytest.approx(1.0)
    assert by_hand().correlation(values, 1 - values) == pytest.approx(-1.0)
    assert by_hand().correlation(values, np.ones(3)) == 0.0
    assert by_hand().correlation(values, np.array([0.0, 1.0, NAN])) == 0.0

import numpy as np
import pytest

from pipeline.planning.curves import SampleResult, build_curve, fit_power_law
from pipeline.planning.estimates import Resampling


def draw(users: list[int], n_samples: int = 2000) -> Resampling:
    return Resampling(np.array(users), n_samples, 0.95, seed=1)


def test_the_estimate_is_the_mean_over_requests_not_over_users() -> None:
    result = draw([0, 0, 0, 1]).estimate(np.array([1.0, 1.0, 1.0, 0.0]))
    assert result.value == pytest.approx(0.75)


def test_equal_values_have_no_spread() -> None:
    result = draw([0, 1, 2]).estimate(np.full(3, 0.3))
    assert (result.low, result.high) == (0.3, 0.3)


def test_one_user_tells_nothing_about_the_spread() -> None:
    alone = draw([0, 0])
    result = alone.estimate(np.array([0.2, 0.4]), low=-1.0)
    assert (result.low, result.high) == (-1.0, 1.0)
    assert alone.half_width(np.array([0.2, 0.4])) == 1.0


def test_requests_of_one_user_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).random(50)
    once = draw(list(range(50))).estimate(values)
    repeated = draw([user for user in range(50) for _ in range(9)]).estimate(np.repeat(values, 9))
    assert repeated == once


def test_the_half_width_is_that_of_a_normal_mean() -> None:
    values = np.random.default_rng(0).random(400)
    expected = 1.959964 * values.std(ddof=1) / np.sqrt(400)
    assert draw(list(range(400))).half_width(values) == pytest.approx(expected, abs=2e-6)


def test_the_bootstrap_agrees_with_the_half_width() -> None:
    random = np.random.default_rng(2)
    users = np.sort(random.integers(0, 200, 1500)).tolist()
    values = random.random(1500)
    assert draw(users).estimate(values).half_width() == pytest.approx(
        draw(users).half_width(values), rel=0.08
    )


def test_a_power_law_is_found_and_continued() -> None:
    sizes = np.array([4.0, 8.0, 16.0, 28.0, 40.0])
    result = fit_power_law(sizes, (0.2 - 0.1 * sizes**-0.5)[None, :])
    assert result.limit[0] == pytest.approx(0.2, abs=0.01)
    assert result.at(80.0)[0] == pytest.approx(0.2 - 0.1 * 80.0**-0.5, abs=0.002)


def test_a_flat_curve_stays_flat() -> None:
    result = fit_power_law(np.array([1.0, 2.0, 4.0]), np.full((2, 3), 0.16))
    assert result.at(100.0).tolist() == pytest.approx([0.16, 0.16])


def test_more_data_never_hurt_the_fit() -> None:
    falling = fit_power_law(np.array([1.0, 2.0, 4.0]), np.array([[0.3, 0.2, 0.1]]))
    assert falling.at(100.0)[0] == pytest.approx(0.2)


def test_equal_sizes_give_the_mean() -> None:
    assert fit_power_law(np.ones(3), np.array([[0.1, 0.2, 0.3]])).at(2.0)[0] == pytest.approx(0.2)


SIZES = np.array([20.0, 40.0, 80.0, 140.0, 200.0])
N_USERS, N_SHOPS = 200, 120


def truth(size: float) -> float:
    """Return the mean over the population of shoppers."""
    return float(0.3 - 0.03 * (size / SIZES[-1]) ** -0.5)


def shop(seed: int) -> tuple[list[SampleResult], Resampling]:
    """N_USERS shoppers drawn from that shop, three requests each, at every size."""
    random = np.random.default_rng(seed)
    user = np.repeat(np.arange(N_USERS), 3)
    level = random.uniform(-0.15, 0.15, N_USERS)[user]
    values = [truth(size) + level + random.uniform(-0.05, 0.05, len(user)) for size in SIZES]
    result = [SampleResult(row, np.zeros(len(user)), (0.0, 0.0), 1.0) for row in values]
    return result, Resampling(user, 200, 0.95, seed=seed)


@pytest.mark.parametrize("axis", ["weeks of history", "users"])
def test_the_intervals_of_the_fit_cover_the_truth_as_often_as_they_say(axis: str) -> None:
    """Of 95 % intervals in 120 shops about 114 cover, and fewer than 106 in one of 1,000 tries."""
    shares = ([size / SIZES[-1] for size in SIZES], SIZES)
    covered = {"extrapolated": 0, "hidden_point": 0, "limit": 0}
    for seed in range(N_SHOPS):
        result, draw_users = shop(seed)
        curve = build_curve(axis, shares, result, draw_users)
        sizes = (2 * SIZES[-1], SIZES[-1], np.inf)
        for name, size in zip(covered, sizes, strict=True):
            estimate = getattr(curve, name)
            covered[name] += estimate.low <= truth(size) <= estimate.high
    assert min(covered.values()) >= 106, covered
    assert max(covered.values()) < N_SHOPS, covered  # and the intervals are not too wide

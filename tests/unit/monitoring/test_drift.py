import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from pipeline.metrics.drift import Bins, effective_size, frozen_bins
from pipeline.monitoring.drift import (
    Drift,
    RequestTimes,
    add_label_bins,
    chance_psi,
    measure_drifts,
)
from pipeline.testing.reference import SignalReference

REFERENCE = SignalReference(
    bins={"hour": Bins(edges=(0.5,), shares=(0.5, 0.5, 0.0))},
    weekly_psi={"hour": 0.03},
    effective_requests={"hour": 100.0},
)


def asked(*weeks: int) -> RequestTimes:
    return RequestTimes(np.array(weeks), np.arange(len(weeks)))


def test_psi_is_that_of_the_window_and_of_each_week() -> None:
    # Week 0 is the reference; week 1 lies above the edge; the window is a quarter below it.
    signals = pd.DataFrame({"hour": [0.0, 1.0, 1.0, 1.0]})
    (drift,) = measure_drifts(signals, asked(0, 0, 1, 1), REFERENCE, seed=1)
    assert drift.psi == pytest.approx(0.25 * math.log(3))
    assert drift.weekly[0] == pytest.approx(0.0)
    assert drift.weekly[1] == pytest.approx(0.5 * math.log(2) + (1e-4 - 0.5) * math.log(1e-4 / 0.5))
    assert drift.worst == drift.weekly[1]
    assert drift.natural == 0.03


def test_a_week_without_requests_has_no_psi_and_does_not_hide_the_others() -> None:
    signals = pd.DataFrame({"hour": [0.0, 1.0]})
    (drift,) = measure_drifts(signals, asked(0, 2), REFERENCE, seed=1)
    assert math.isnan(drift.weekly[1])
    assert drift.worst > 0


def test_one_holiday_does_not_make_weekdays_drift() -> None:
    drift = Drift("weekday", "input", 0.02, (0.0, 1.1), 0.05, 0.01, weekly_chance=(0.01, 0.01))
    assert drift.worst == 0.02
    assert not drift.is_beyond(0.25)


def test_a_signal_may_go_as_far_as_the_largest_of_its_three_bounds() -> None:
    drift = Drift("hour", "input", 0.3, (0.3,), natural=0.2, chance=0.4, weekly_chance=(0.4,))
    assert drift.against(0.1) == (0.3, 0.4)
    assert drift.against(0.5) == (0.3, 0.5)
    assert not drift.is_beyond(0.1)


def test_a_week_of_few_requests_does_not_excuse_the_others() -> None:
    drift = Drift("hour", "input", 0.1, (0.6, 0.2), 0.02, chance=0.01, weekly_chance=(0.1, 3.0))
    assert drift.is_beyond(0.5)
    assert drift.against(0.5) == (0.6, 0.5)


@pytest.mark.parametrize("n_bins", [5, 11])
def test_chance_in_large_samples_is_that_of_a_chi_square(n_bins: int) -> None:
    result = chance_psi(np.full(n_bins, 1 / n_bins), 20_000, 20_000, seed=1)
    assert result == pytest.approx(chi2.ppf(0.999, n_bins - 1) * 2 / 20_000, rel=0.1)


def test_requests_of_one_shopper_each_are_as_many_as_they_seem() -> None:
    random = np.random.default_rng(5)
    values = random.normal(size=2_000)
    edges = np.array(frozen_bins(values, 10).edges)
    assert effective_size(values, edges, np.arange(2_000)) == pytest.approx(2_000, rel=0.02)
    # A shopper with constant values counts once; the others are unchanged.
    assert effective_size(np.repeat(values[:50], 40), edges, np.repeat(np.arange(50), 40)) < 50
    assert effective_size(values, edges, np.zeros(2_000, dtype=np.int64)) == 1


@pytest.mark.parametrize(
    ("n_users", "n_each", "likeness"), [(20, 50, 1.0), (20, 50, 0.6), (100, 10, 0.8)]
)
def test_many_requests_of_few_shoppers_seldom_look_like_drift(
    n_users: int, n_each: int, likeness: float
) -> None:
    """All samples are of one population, so every alarm is false; one in a thousand is nominal."""
    random = np.random.default_rng(11)
    n_false = n_false_if_independent = 0
    for _ in range(60):
        then, now = sample(random, 400, 7, likeness), sample(random, n_users, n_each, likeness)
        drift, independent = drift_of(then, now)
        n_false += drift.psi > drift.chance
        n_false_if_independent += drift.psi > independent
    assert n_false <= 1
    assert n_false_if_independent > 10


def test_drift_of_few_shoppers_is_seen_when_it_is_large() -> None:
    random = np.random.default_rng(11)
    user, values = sample(random, 50, 20, 0.8)
    drift, _ = drift_of(sample(random, 400, 7, 0.8), (user, values + 2.0))
    assert drift.is_beyond(0.25)


Sample = tuple[np.ndarray, np.ndarray]


def sample(random: np.random.Generator, n_users: int, n_each: int, likeness: float) -> Sample:
    """User and value of each request; `likeness` is the correlation within a shopper."""
    user = np.repeat(np.arange(n_users), np.maximum(random.poisson(n_each, n_users), 1))
    own, new = random.normal(size=n_users), random.normal(size=len(user))
    return user, likeness**0.5 * own[user] + (1 - likeness) ** 0.5 * new


def drift_of(then: Sample, now: Sample) -> tuple[Drift, float]:
    """The drift, and the bound of a chi-square that takes requests as independent."""
    bins = frozen_bins(then[1], 10)
    edges, shares = np.array(bins.edges), np.array(bins.shares)
    reference = SignalReference(
        bins={"hour": bins},
        weekly_psi={"hour": 0.0},
        effective_requests={"hour": effective_size(then[1], edges, then[0])},
    )
    week = np.zeros(len(now[0]), dtype=np.int64)
    (drift,) = measure_drifts(
        pd.DataFrame({"hour": now[1]}), RequestTimes(week, now[0]), reference, seed=3
    )
    return drift, chi2.ppf(0.999, len(shares) - 1) * (1 / len(then[0]) + 1 / len(now[0]))


def test_a_signal_without_bins_is_left_out() -> None:
    assert measure_drifts(pd.DataFrame({"weekday": [1.0]}), asked(0), REFERENCE, seed=1) == ()


def test_label_bins_are_cut_from_the_test_window() -> None:
    signals = pd.DataFrame({"n_labels": [1.0, 1.0, 3.0, 3.0]})
    one_shopper = RequestTimes(np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64))
    result = add_label_bins(REFERENCE, signals, one_shopper, n_bins=2)
    assert result.bins["n_labels"] == Bins(
        edges=(0.999999, 2.0, 3.0), shares=(0.0, 0.5, 0.5, 0.0, 0.0)
    )
    assert result.weekly_psi["n_labels"] == pytest.approx(0.0)
    assert result.effective_requests["n_labels"] == 1
    assert "n_labels" not in REFERENCE.bins

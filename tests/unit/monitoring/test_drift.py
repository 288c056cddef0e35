import math

import numpy as np
import pandas as pd
import pytest

from pipeline.monitoring.drift import Drift, chance_psi, drifts_of, with_label_bins

HALVES = {"edges": [0.5], "shares": [0.5, 0.5, 0.0]}
REFERENCE = {"bins": {"hour": HALVES}, "weekly_psi": {"hour": 0.03}, "n_requests": 100}


def test_psi_is_that_of_the_window_and_of_each_week() -> None:
    # Week 0 is the reference; week 1 lies above the edge; the window is a quarter below it.
    signals = pd.DataFrame({"hour": [0.0, 1.0, 1.0, 1.0]})
    (drift,) = drifts_of(signals, np.array([0, 0, 1, 1]), REFERENCE)
    assert drift.psi == pytest.approx(0.25 * math.log(3))
    assert drift.weekly[0] == pytest.approx(0.0)
    assert drift.weekly[1] == pytest.approx(0.5 * math.log(2) + (1e-4 - 0.5) * math.log(1e-4 / 0.5))
    assert drift.worst == drift.weekly[1]
    assert drift.natural == 0.03


def test_a_week_without_requests_has_no_psi_and_does_not_hide_the_others() -> None:
    signals = pd.DataFrame({"hour": [0.0, 1.0]})
    (drift,) = drifts_of(signals, np.array([0, 2]), REFERENCE)
    assert math.isnan(drift.weekly[1])
    assert drift.worst > 0


def test_one_holiday_does_not_make_weekdays_drift() -> None:
    drift = Drift("weekday", "input", 0.02, (0.0, 1.1), natural=0.05, chance=0.01)
    assert drift.worst == 0.02


def test_a_signal_may_go_as_far_as_the_largest_of_its_three_bounds() -> None:
    drift = Drift("hour", "input", 0.3, (0.3,), natural=0.2, chance=0.4)
    assert drift.allowed(0.1) == 0.4
    assert drift.allowed(0.5) == 0.5
    assert not drift.is_beyond(0.1)


def test_chance_covers_samples_of_the_reference_itself() -> None:
    random = np.random.default_rng(7)
    shares = np.full(10, 0.1)
    drawn = random.multinomial(2000, shares, size=2000) / 2000
    psi = ((drawn - 0.1) * np.log(drawn / 0.1)).sum(axis=1)
    beyond = (psi > chance_psi(10, 10**9, 2000)).mean()
    assert beyond < 0.004


def test_a_signal_without_bins_is_left_out() -> None:
    assert drifts_of(pd.DataFrame({"weekday": [1.0]}), np.array([0]), REFERENCE) == ()


def test_label_bins_are_cut_from_the_test_window() -> None:
    signals = pd.DataFrame({"n_labels": [1.0, 1.0, 3.0, 3.0]})
    found = with_label_bins(REFERENCE, signals, np.array([0, 0, 0, 0]), n_bins=2)
    assert found["bins"]["n_labels"] == {
        "edges": [0.999999, 2.0, 3.0],
        "shares": [0.0, 0.5, 0.5, 0.0, 0.0],
    }
    assert found["weekly_psi"]["n_labels"] == pytest.approx(0.0)
    assert "n_labels" not in REFERENCE["bins"]

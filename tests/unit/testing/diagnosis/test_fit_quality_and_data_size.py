"""Overfit, underfit and too little data, on curves and leads made by hand."""

import math

import numpy as np
import pytest

from pipeline.contracts.family_metrics import DataShare, FitProbe, LastGain
from pipeline.contracts.params import DiagnosisParams
from pipeline.testing.diagnosis.data_size import check_data_size, doubling_gains
from pipeline.testing.diagnosis.fit_quality import (
    GeneralizationGap,
    WindowQuality,
    check_overfit,
    check_underfit,
    lost_lead,
)
from tests.unit.testing.diagnosis.cases import (
    CURVE,
    RISING,
    data_shares,
    measured_gap,
)


def test_the_lost_lead_is_a_difference_of_differences() -> None:
    user = np.array([0, 1])
    train = WindowQuality(user, np.array([0.5, 0.7]), np.array([0.3, 0.3]))  # ahead by .3
    unseen = WindowQuality(user, np.array([0.4, 0.4]), np.array([0.2, 0.4]))  # ahead by .1
    gap, low, high = lost_lead(GeneralizationGap(train, unseen))
    assert gap == pytest.approx(0.2)
    assert low <= gap <= high


def test_a_gap_that_may_be_chance_is_neither_overfit_nor_healthy(params: DiagnosisParams) -> None:
    random = np.random.default_rng(0)
    user = np.arange(20)
    train = WindowQuality(user, random.uniform(0, 1, 20), np.full(20, 0.4))
    unseen = WindowQuality(user, random.uniform(0, 1, 20) - 0.1, np.full(20, 0.4))
    assert check_overfit(GeneralizationGap(train, unseen), params).verdict == "unknown"


def test_weeks_that_are_harder_for_everyone_are_not_overfit(params: DiagnosisParams) -> None:
    assert check_overfit(measured_gap(train=(0.4, 0.38)), params).verdict == "healthy"


def test_a_lead_that_was_never_there_is_not_lost(params: DiagnosisParams) -> None:
    behind = check_overfit(measured_gap(train=(0.19, 0.195), unseen=(0.15, 0.185)), params)
    assert (behind.verdict, behind.evidence[0].holds) == ("unknown", False)


@pytest.mark.parametrize(
    ("validation", "verdict"),
    [
        ([0.2, 0.2026], "suspected"),  # the second and last epoch brought 1.3 %
        ([0.2, 0.2018], "healthy"),  # 0.9 %
        ([0.19, 0.2, 0.2026], "suspected"),
        ([0.19, 0.2, 0.1999, 0.1998], "healthy"),  # stopped by patience: its best is before
        ([0.2], "unknown"),  # one epoch has nothing to rise from
        ([None, None], "unknown"),
    ],
)
def test_a_fit_was_stopped_too_early_when_its_last_epoch_is_its_best_by_far(
    validation: list[float | None], verdict: str, params: DiagnosisParams
) -> None:
    curve = [
        {"epoch": n, "loss": 2.0, "validation": entry} for n, entry in enumerate(validation, 1)
    ]
    assert check_underfit(measured_gap(), curve, params).verdict == verdict


def test_a_loss_that_does_not_fall_hides_no_underfit(params: DiagnosisParams) -> None:
    """The loss of an adversarial family may rise while its lists get better."""
    curve = [CURVE[0], {"epoch": 2, "loss": 2.5, "validation": 0.25}]
    assert check_underfit(measured_gap(), curve, params).verdict == "suspected"


def test_behind_counting_is_underfit_whatever_the_curve_tells(params: DiagnosisParams) -> None:
    behind = measured_gap(train=(0.18, 0.19), unseen=(0.17, 0.185))
    assert check_underfit(behind, [], params).verdict == "suspected"


def test_gains_per_doubling_by_hand() -> None:
    points = [
        DataShare(fraction=0.0625, score=0.1),
        DataShare(fraction=0.25, score=0.14),  # two doublings that bring .04
        DataShare(fraction=1.0, score=0.16),  # two that bring half of it: each .5^.5 of the last
    ]
    # x + x / r = .02 with r = .5^.5: the last brings x = .02 / (1 + 2^.5), the next r times that
    last = 0.02 / (1 + 2**0.5)
    assert doubling_gains(points) == pytest.approx((last, last * 0.5**0.5))
    assert doubling_gains(data_shares(0.2, 0.1, 0.12)) == pytest.approx((0.02, 0.02))
    assert doubling_gains(data_shares(0.1, 0.12, 0.16)) == pytest.approx((0.04, 0.04))
    assert doubling_gains(data_shares(0.1, 0.16, 0.12)) == pytest.approx((-0.04, -0.04))


FRACTIONS = [(0.05, 0.2, 1.0), (0.25, 0.5, 1.0), (0.1, 0.9, 1.0), (0.02, 0.03, 1.0)]


@pytest.mark.parametrize("fractions", FRACTIONS)
@pytest.mark.parametrize("r", [0.05, 0.5, 0.8, 0.99])
def test_the_next_doubling_of_a_geometric_curve_is_exact(
    fractions: tuple[float, ...], r: float
) -> None:
    """limit - .05 * r^doublings: the next doubling brings .05 * (1 - r), the last 1 / r of that."""
    points = [DataShare(fraction=f, score=0.25 - 0.05 * r ** math.log2(f)) for f in fractions]
    expected = (0.05 * (1 / r - 1), 0.05 * (1 - r))
    assert doubling_gains(points) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("fractions", FRACTIONS)
@pytest.mark.parametrize("exponent", [0.1, 0.5, 2.0])
def test_the_next_doubling_of_a_power_law_is_exact(
    fractions: tuple[float, ...], exponent: float
) -> None:
    """limit - .05 * size^-exponent, with size 1 now: the next doubling ends at size 2."""
    points = [DataShare(fraction=f, score=0.25 - 0.05 * f**-exponent) for f in fractions]
    assert doubling_gains(points)[1] == pytest.approx(0.05 * (1 - 2**-exponent), rel=1e-5)


def test_the_champion_of_november_asks_for_more_shoppers(params: DiagnosisParams) -> None:
    """Its curve was called healthy by .00995 when two doublings shrank what is one's."""
    shares = ((0.05, 0.2001792), (0.2, 0.21169131), (1.0, 0.2199329))
    probe = FitProbe(
        learning_curve=tuple(DataShare(fraction=f, score=s) for f, s in shares),
        last_gain=LastGain(difference=0.00824159, error=0.00167887),
    )
    finding = check_data_size(probe, params)
    assert finding.verdict == "suspected"
    assert finding.evidence[0].value == pytest.approx(0.0110, abs=5e-5)


def test_a_gain_that_may_be_chance_neither_asks_for_data_nor_is_healthy(
    params: DiagnosisParams,
) -> None:
    unsure = RISING.model_copy(update={"last_gain": LastGain(difference=0.03, error=0.02)})
    assert check_data_size(RISING, params).verdict == "suspected"
    assert check_data_size(unsure, params).verdict == "unknown"
    level, no_gain = data_shares(0.2, 0.2, 0.2), LastGain(difference=0.0, error=0.02)
    flat = FitProbe(learning_curve=level, last_gain=no_gain)
    assert check_data_size(flat, params).verdict == "healthy"
    assert check_data_size(FitProbe(), params).verdict == "unknown"

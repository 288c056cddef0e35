"""Weeks in which the live frequency baseline lost as much as the served answers."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.contracts.params import read_params
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.monitoring.drift import Drift
from pipeline.monitoring.evidence import Findings, build_evidence, explains_loss, judge_quality
from pipeline.monitoring.hard_weeks import (
    BaselineComparison,
    PairedValues,
    WeekComparison,
    compare_weeks,
)
from pipeline.monitoring.quality import Expected, Quality
from tests.support.tiny_shop import PROJECT
from tests.unit.monitoring.test_evidence import LOST, SOUND

PARAMS = read_params(PROJECT / "params.yaml").monitoring
SERVED, BASELINE = Expected(0.20, 0.195, 0.205), Expected(0.16, 0.155, 0.165)
N = 3_000  # requests of each week, of as many users


def compare(served: list[float], baseline: list[float]) -> BaselineComparison:
    """Compare weeks with these mean qualities; a user's luck moves both methods alike."""
    random = np.random.default_rng(5)
    week = np.repeat(np.arange(len(served)), N)
    luck = random.normal(0, 0.05, len(week))
    noise = random.normal(0, 0.02, (2, len(week)))
    ours, theirs = (
        np.array(means)[week] + luck + part - np.repeat(
            [(luck + part)[week == w].mean() for w in range(len(means))], N
        )
        for means, part in zip((served, baseline), noise, strict=True)
    )  # fmt: skip
    bootstrap = Bootstrap.of(np.arange(len(week)) % N, 300, 0.95, seed=1)
    return compare_weeks(
        "decayed", PairedValues(ours, theirs, week, bootstrap), SERVED, BASELINE, 0.1
    )


def test_a_week_is_hard_if_the_baseline_loses_as_much() -> None:
    compared = compare([0.20, 0.16, 0.16], [0.16, 0.125, 0.16])
    assert [week.is_hard for week in compared.weeks] == [False, True, False]
    assert [week.served for week in compared.weeks] == pytest.approx([0.20, 0.16, 0.16])
    # own loss: the lead of testing, 0.04, minus the lead of the week
    assert [week.own_loss[0] for week in compared.weeks] == pytest.approx([0.0, 0.005, 0.04])
    assert compared.hard_weeks == (1,)


def test_a_good_week_is_not_hard_even_if_the_baseline_falls() -> None:
    assert compare([0.19], [0.10]).hard_weeks == ()


def test_the_correlation_of_both_estimates_narrows_the_interval() -> None:
    _, low, high = compare([0.20], [0.16]).weeks[0].own_loss
    alone = np.hypot(0.005, 0.005)  # of two independent estimates
    assert 0 < high - low < alone


def week(number: int, *, is_hard: bool) -> WeekComparison:
    return WeekComparison(number, N, 0.16, 0.12, (0.0, -0.01, 0.01), is_hard=is_hard)


def findings(n_hard: int, easy: Quality | None, *drifts: Drift) -> Findings:
    weeks = tuple(week(number, is_hard=number < n_hard) for number in range(4))
    comparison = BaselineComparison("decayed", BASELINE, weeks)
    return replace(SOUND, quality=LOST, comparison=comparison, easy_quality=easy, drifts=drifts)


KEPT = Quality(0.20, 0.19, 0.21, 0.20, 900, 0.19, 0.21)


def test_a_loss_of_hard_weeks_only_raises_no_alarm_and_says_so() -> None:
    hard = findings(2, KEPT)
    assert judge_quality(hard, PARAMS) == "unsure"
    quality = build_evidence(hard, "unsure", PARAMS)[0]
    assert quality.holds
    assert "hard week: 1, 2 (decayed frequency lost as much), which explains a loss" in quality.note
    assert judge_quality(findings(1, None), PARAMS) == "unsure"  # the period is one hard week


def test_a_loss_in_the_other_weeks_or_in_many_weeks_remains_a_loss() -> None:
    assert judge_quality(findings(1, LOST), PARAMS) == "lost"
    assert judge_quality(findings(3, KEPT), PARAMS) == "lost"
    assert judge_quality(findings(0, None), PARAMS) == "lost"
    assert judge_quality(replace(SOUND, quality=LOST), PARAMS) == "lost"


@pytest.mark.parametrize("signal", ["repeat_label_share", "recent_price"])
def test_a_fault_of_the_data_is_no_hard_week(signal: str) -> None:
    kind = "label" if signal == "repeat_label_share" else "input"
    moved = Drift(signal, kind, 0.4, (0.4,), 0.02, chance=0.01, weekly_chance=(0.01,))
    assert not explains_loss(findings(1, KEPT, moved), PARAMS)
    outputs = Drift("top_share", "output", 0.4, (0.4,), 0.02, chance=0.01, weekly_chance=(0.01,))
    assert explains_loss(findings(1, KEPT, outputs), PARAMS)

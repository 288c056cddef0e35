"""Synthetic findings, one per row of the decision table."""

from dataclasses import replace

import pytest

from pipeline.contracts.params import MonitoringParams
from pipeline.monitoring.context import Alternative
from pipeline.monitoring.decide import decide
from pipeline.monitoring.drift import KINDS, Drift
from pipeline.monitoring.evidence import Findings
from pipeline.monitoring.quality import Quality

PARAMS = MonitoringParams(
    replay_days=28,
    maximum_requests=100,
    psi_warning=0.1,
    psi_alarm=0.25,
    psi_broken=0.5,
    maximum_unknown_fraction=0.1,
    maximum_volume_ratio=2.0,
    maximum_failed_fraction=0.01,
    maximum_quality_loss_fraction=0.1,
    confidence=0.95,
    bootstrap_samples=100,
)
# 90 % of 0.20 is 0.18.
KEPT = Quality(0.20, 0.19, 0.21, 0.20, 900, 0.19, 0.21)
UNSURE = Quality(0.18, 0.17, 0.19, 0.20, 100, 0.19, 0.21)
LOST = Quality(0.15, 0.14, 0.16, 0.20, 900, 0.19, 0.21)
SOUND = Findings(
    metric="recall@10",
    quality=KEPT,
    drifts=(),
    unknown_item_fraction=0.03,
    unknown_user_fraction=0.0,
    volume_ratio=1.0,
    failed_fraction=0.0,
    unanswered_fraction=0.0,
    n_lost_events=0,
    p99_ms=12.0,
    p99_limit_ms=40.0,
    frequency=None,
)


def drifts(**psi: float) -> tuple[Drift, ...]:
    return tuple(
        Drift(signal, KINDS[signal], value, (value,), 0.02, chance=0.01, weekly_chance=(0.01,))
        for signal, value in psi.items()
    )


CASES = {
    "a service that fails at first": (replace(SOUND, failed_fraction=0.5), "deployment"),
    "a service that does not answer": (replace(SOUND, unanswered_fraction=0.5), "deployment"),
    "a service that loses events": (replace(SOUND, n_lost_events=1), "deployment"),
    "a slow service": (replace(SOUND, p99_ms=40.1), "deployment"),
    "a service that does not report its latency": (replace(SOUND, p99_ms=None), "deployment"),
    "a surge of unknown items": (replace(SOUND, unknown_item_fraction=0.3), "collection"),
    "half of the baskets gone": (replace(SOUND, volume_ratio=0.4), "collection"),
    "three times the baskets": (replace(SOUND, volume_ratio=3.0), "collection"),
    "a clock that is wrong": (replace(SOUND, drifts=drifts(hour=0.8)), "collection"),
    "foreign purchases and other inputs": (
        replace(SOUND, quality=LOST, drifts=drifts(repeat_label_share=2.0, recent_lines=0.4)),
        "collection",
    ),
    "foreign purchases and the same inputs": (
        replace(SOUND, quality=LOST, drifts=drifts(repeat_label_share=0.4, recent_lines=0.01)),
        "labeling",
    ),
    "baskets of another size entirely": (replace(SOUND, drifts=drifts(n_labels=0.9)), "labeling"),
    "other inputs and a loss": (
        replace(SOUND, quality=LOST, drifts=drifts(recent_lines=0.4, top_share=0.6)),
        "training",
    ),
    "other answers to the same inputs, and a loss": (
        replace(SOUND, quality=LOST, drifts=drifts(recent_lines=0.05, top_share=0.4)),
        "deployment",
    ),
    "other answers to the same inputs, quality not yet known": (
        replace(SOUND, quality=UNSURE, drifts=drifts(top_share=0.4)),
        "deployment",
    ),
    "other answers, before any label": (
        replace(SOUND, quality=None, drifts=drifts(top_share=0.4)),
        "deployment",
    ),
    "larger baskets and a loss": (
        replace(SOUND, quality=LOST, drifts=drifts(n_labels=0.3)),
        "labeling",
    ),
    "a loss and nothing else": (replace(SOUND, quality=LOST), "training"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_trouble_leads_back_to_its_phase(case: str) -> None:
    findings, target = CASES[case]
    verdict = decide(findings, PARAMS)
    assert (verdict.status, verdict.target_phase) == ("return", target)
    assert any(not item.holds for item in verdict.evidence)


def test_sound_traffic_goes_on_and_every_evidence_holds() -> None:
    verdict = decide(replace(SOUND, drifts=drifts(hour=0.05, top_share=0.01)), PARAMS)
    assert verdict.status == "proceed"
    assert all(item.holds for item in verdict.evidence)
    assert "drift" not in verdict.cause


def test_drift_without_a_loss_goes_on_with_a_warning() -> None:
    findings = replace(SOUND, drifts=drifts(recent_lines=0.3, top_share=0.4))
    verdict = decide(findings, PARAMS)
    assert verdict.status == "proceed"
    assert "drift: top_share (PSI 0.40), recent_lines (PSI 0.30)" in verdict.cause
    assert all(item.holds for item in verdict.evidence)


def test_drift_within_the_reference_s_own_variation_is_no_alarm() -> None:
    usual = Drift("recent_lines", "input", 0.4, (0.4,), 0.6, chance=0.01, weekly_chance=(0.01,))
    verdict = decide(replace(SOUND, quality=LOST, drifts=(usual,)), PARAMS)
    assert "concept drift" in verdict.cause


def test_the_expected_gain_is_what_was_lost() -> None:
    verdict = decide(replace(SOUND, quality=LOST), PARAMS)
    assert verdict.gain == pytest.approx(0.05)


def test_the_cost_is_that_of_the_phase_and_all_that_follow() -> None:
    minutes = {"training": 2.0, "testing": 1.0, "deployment": 1.0, "monitoring": 0.5}
    assert decide(replace(SOUND, quality=LOST), PARAMS, minutes).cost_minutes == 4.5
    assert decide(replace(SOUND, quality=LOST), PARAMS).cost_minutes is None


def test_the_evidence_of_quality_is_the_mean_beside_what_may_be_lost() -> None:
    first = decide(replace(SOUND, quality=LOST), PARAMS).evidence[0]
    assert (first.name, first.value, first.holds) == ("recall@10", 0.15, False)
    assert first.bound == pytest.approx(0.18)


def test_a_loss_within_the_error_of_the_test_estimate_is_none() -> None:
    # 0.17 [0.162, 0.178] lies below 0.18; with a test estimate of [0.19, 0.21] it may be 0.171.
    findings = replace(SOUND, quality=Quality(0.17, 0.162, 0.178, 0.20, 900, 0.19, 0.21))
    assert decide(findings, PARAMS).status == "proceed"
    exact = replace(SOUND, quality=Quality(0.17, 0.162, 0.178, 0.20, 900, 0.20, 0.20))
    assert decide(exact, PARAMS).status == "return"


@pytest.mark.parametrize("p99_ms", [39.9, 40.0, 40.1])
def test_latency_is_held_against_the_plan_and_told_only_when_it_fails(p99_ms: float) -> None:
    holds = p99_ms <= 40.0
    verdict = decide(replace(SOUND, p99_ms=p99_ms), PARAMS)
    evidence = {e.name: e for e in verdict.evidence}["p99_latency_ms"]
    assert (evidence.value, evidence.bound, evidence.holds) == (None, 40.0, holds)
    assert ("p99 40.1 ms, 40 ms were planned" in verdict.cause) == (not holds)


@pytest.mark.parametrize(("high", "is_warned"), [(0.004, False), (-0.001, True)])
def test_counting_that_is_shown_to_be_better_is_a_warning(high: float, is_warned: bool) -> None:  # noqa: FBT001
    lead = {"difference": -0.006, "low": -0.012, "high": high}
    frequency = Alternative(
        "contextual", is_context_known=True, value=0.2, low=0.1, high=0.3, lead=lead
    )
    verdict = decide(replace(SOUND, frequency=frequency), PARAMS)
    assert verdict.status == "proceed"
    assert [e.name for e in verdict.warnings] == (["lead_over_frequency"] if is_warned else [])


def test_the_cause_names_what_failed() -> None:
    cause = decide(replace(SOUND, failed_fraction=0.02, n_lost_events=3), PARAMS).cause
    assert "2.0% of the calls failed at first, 3 events were rejected" in cause

"""Synthetic findings and causes, one per row of the decision table."""

from collections.abc import Mapping
from dataclasses import replace
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from pipeline.contracts.params import MonitoringParams
from pipeline.contracts.phases import Phase
from pipeline.contracts.repairs import Ask, Change, EditParams, Rerun, Restart, RollBack, Step
from pipeline.contracts.verdicts import Verdict
from pipeline.monitoring.agreement import MINIMUM_AGREEMENT
from pipeline.monitoring.context import Alternative
from pipeline.monitoring.decide import NOTHING, Judged, decide
from pipeline.monitoring.diagnosis.case import Case
from pipeline.monitoring.diagnosis.diagnose import Confirmed, Diagnosis, Measured
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion
from pipeline.monitoring.drift import KINDS, Drift
from pipeline.monitoring.evidence import Findings
from pipeline.monitoring.quality import Quality
from tests.support.findings import KEPT, LOST, SOUND

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
UNSURE = Quality(0.18, 0.17, 0.19, 0.20, 100, 0.19, 0.21)


def drifts(**psi: float) -> tuple[Drift, ...]:
    return tuple(
        Drift(signal, KINDS[signal], value, (value,), 0.02, chance=0.01, weekly_chance=(0.01,))
        for signal, value in psi.items()
    )


REFIT = EditParams(changes=(Change(key="shop.as_of", value="2017-12-18"),))
CORRECTION = EditParams(
    changes=(
        Change(key="collection.corrections", operation="append", value={"kind": "deduplicate"}),
    )
)
MINUTES = {"labeling": 3.0, "training": 2.0, "testing": 1.0, "deployment": 1.0, "monitoring": 0.5}
NO_ROWS = pd.DataFrame()
CASE = Case(
    pd.Timestamp("2017-12-04", tz="UTC"), 28, ZoneInfo("UTC"), NO_ROWS, NO_ROWS, NO_ROWS, NO_ROWS,
    frozenset(),
)  # fmt: skip


def judge(
    findings: Findings,
    diagnosis: Diagnosis = NOTHING,
    gains: Mapping[str, float] | None = None,
    refit: Step | None = None,
    minutes: Mapping[str, float] | None = None,
) -> Verdict:
    return decide(Judged(findings, diagnosis, gains or {}, refit), PARAMS, minutes)


def confirmed(
    name: str, phase: Phase, steps: tuple[Step, ...], after: float | None = 0.01
) -> Confirmed:
    """Return a cause with a statistic of 0.5 and a bound of 0.1."""
    cause = Cause(name, f"share of {name}", lambda _: 0.5, lambda _, __: None, floor=0.1)
    suspicion = Suspicion(phase, f"half is {name}", f"Repair {name}.", steps)
    return Confirmed(Measured(cause, 0.5, 0.1), suspicion, after, CASE, CASE)


def diagnosis(*causes: Confirmed) -> Diagnosis:
    within = Cause("label_noise", "share", lambda _: 0.0, lambda _, __: None, floor=0.02)
    return Diagnosis(causes, (*(cause.measured for cause in causes), Measured(within, 0.0, 0.02)))


REPEATS = confirmed("repeated_lines", "collection", (CORRECTION,))
MISJOINED = confirmed("labels_misjoined", "labeling", (Rerun(stage="labeling"),))

FAILING = {
    "a service that fails at first": replace(SOUND, failed_fraction=0.5),
    "a service that does not answer": replace(SOUND, unanswered_fraction=0.5),
    "a service that loses events": replace(SOUND, n_lost_events=1),
    "a slow service": replace(SOUND, p99_ms=40.1),
    "a service that does not report its latency": replace(SOUND, p99_ms=None),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_failing_service_is_restarted_or_rolled_back(case: str) -> None:
    verdict = judge(FAILING[case], diagnosis(REPEATS))
    assert (verdict.status, verdict.target_phase) == ("return", "deployment")
    assert any(not item.holds for item in verdict.evidence)
    assert verdict.cause.startswith("recall@10 0.2000 [0.1900, 0.2100], 0.2000 in testing: the ser")


def test_a_failing_service_names_its_repairs() -> None:
    verdict = judge(replace(SOUND, failed_fraction=0.5), minutes=MINUTES)
    assert [(r.cause, r.step, r.target_phase) for r in verdict.repairs] == [
        ("service_failure", Restart(), "deployment"),
        ("service_failure", RollBack(), "deployment"),
    ]
    assert {r.cost_minutes for r in verdict.repairs} == {1.5}


def test_a_failing_service_is_repaired_before_a_cause_in_the_data() -> None:
    verdict = judge(replace(SOUND, failed_fraction=0.5), diagnosis(REPEATS))
    causes = [(repair.cause, repair.target_phase) for repair in verdict.repairs]
    service = ("service_failure", "deployment")
    assert causes == [service, service, ("repeated_lines", "collection")]


def test_answers_of_another_model_are_those_of_a_wrong_one() -> None:
    verdict = judge(replace(SOUND, quality=LOST, agreement=0.05), refit=REFIT)
    assert (verdict.status, verdict.target_phase) == ("return", "deployment")
    assert "not those of the verified bundle: 5% of the items agree" in verdict.cause
    assert [(r.cause, r.step) for r in verdict.repairs] == [
        ("wrong_model", Restart()),
        ("wrong_model", RollBack()),
    ]
    assert [r.expected_gain for r in verdict.repairs] == [pytest.approx(0.05)] * 2
    evidence = {e.name: e for e in verdict.failing}["agreement"]
    assert (evidence.value, evidence.bound) == (0.05, MINIMUM_AGREEMENT)


@pytest.mark.parametrize("agreement", [None, MINIMUM_AGREEMENT, 1.0])
def test_answers_that_agree_or_were_not_compared_are_no_wrong_model(
    agreement: float | None,
) -> None:
    verdict = judge(replace(SOUND, agreement=agreement))
    assert verdict.status == "proceed"
    values = [e.value for e in verdict.evidence if e.name == "agreement"]
    assert values == ([] if agreement is None else [agreement])


def test_a_cause_of_the_catalogue_leads_to_its_phase_and_its_repair() -> None:
    findings = replace(SOUND, quality=LOST, drifts=drifts(recent_lines=0.4))
    gains = {"repeated_lines": 0.04}
    verdict = judge(findings, diagnosis(REPEATS), gains, REFIT, {**MINUTES, "collection": 2.0})
    assert (verdict.status, verdict.target_phase) == ("return", "collection")
    assert verdict.action == "Repair repeated_lines."
    words = (
        "half is repeated_lines (share of repeated_lines 0.5, naturally at most 0.1; "
        "0.01 after undoing it on a copy)"
    )
    assert verdict.cause.endswith(f"in testing: {words}")
    (repair,) = verdict.repairs
    assert (repair.cause, repair.step, repair.because) == ("repeated_lines", CORRECTION, words)
    assert (repair.expected_gain, repair.cost_minutes) == (0.04, 9.5)
    assert verdict.cost_minutes == 9.5


def test_the_statistic_of_a_cause_is_evidence_that_fails() -> None:
    evidence = {e.name: e for e in judge(SOUND, diagnosis(REPEATS)).failing}
    assert list(evidence) == ["repeated_lines"]
    assert (evidence["repeated_lines"].value, evidence["repeated_lines"].bound) == (0.5, 0.1)
    assert evidence["repeated_lines"].note == "share of repeated_lines"


@pytest.mark.parametrize("quality", [KEPT, LOST, None])
def test_a_cause_counts_whatever_the_quality(quality: Quality | None) -> None:
    verdict = judge(replace(SOUND, quality=quality), diagnosis(REPEATS))
    assert (verdict.status, verdict.target_phase) == ("return", "collection")


def test_a_step_that_did_not_bring_the_window_back_on_a_copy_becomes_a_question() -> None:
    failed = confirmed("repeated_lines", "collection", (CORRECTION,), after=0.3)
    (repair,) = judge(SOUND, diagnosis(failed)).repairs
    assert isinstance(repair.step, Ask)
    assert "0.3 after undoing it on a copy" in repair.step.question
    assert "Repair repeated_lines. What should be done?" in repair.step.question
    assert (repair.cause, repair.target_phase) == ("repeated_lines", "collection")


def test_a_step_that_no_copy_can_show_is_offered_as_it_is() -> None:
    unseen = confirmed("labels_misjoined", "labeling", (Rerun(stage="labeling"),), after=None)
    (repair,) = judge(SOUND, diagnosis(unseen)).repairs
    assert repair.step == Rerun(stage="labeling")
    assert "after undoing" not in repair.because


def test_a_cause_without_a_step_asks() -> None:
    (repair,) = judge(SOUND, diagnosis(confirmed("thin_data", "collection", (), None))).repairs
    assert isinstance(repair.step, Ask)


def test_of_two_causes_the_first_names_the_phase_and_both_are_repaired() -> None:
    verdict = judge(SOUND, diagnosis(REPEATS, MISJOINED))
    assert verdict.target_phase == "collection"
    assert "half is repeated_lines" in verdict.cause
    assert "; also, half is labels_misjoined" in verdict.cause
    assert [(r.cause, r.target_phase) for r in verdict.repairs] == [
        ("repeated_lines", "collection"),
        ("labels_misjoined", "labeling"),
    ]
    assert [item.name for item in verdict.failing] == ["repeated_lines", "labels_misjoined"]


def test_other_inputs_and_a_loss_are_a_stale_model() -> None:
    findings = replace(SOUND, quality=LOST, drifts=drifts(recent_lines=0.4, top_share=0.6))
    verdict = judge(findings, refit=REFIT)
    assert (verdict.status, verdict.target_phase) == ("return", "training")
    assert "drifted from the training data" in verdict.cause
    assert "recent_lines (PSI 0.40)" in verdict.cause
    (repair,) = verdict.repairs
    assert (repair.cause, repair.step) == ("stale_model", REFIT)


def test_a_loss_and_nothing_else_is_concept_drift() -> None:
    verdict = judge(replace(SOUND, quality=LOST), refit=REFIT)
    assert (verdict.status, verdict.target_phase) == ("return", "training")
    assert "concept drift" in verdict.cause
    (repair,) = verdict.repairs
    assert (repair.cause, repair.step) == ("concept_drift", REFIT)
    assert repair.expected_gain == pytest.approx(0.05)


def test_without_newer_data_a_refit_is_no_repair() -> None:
    verdict = judge(replace(SOUND, quality=LOST))
    assert (verdict.status, verdict.target_phase) == ("return", "training")
    assert verdict.repairs == ()
    assert verdict.action is not None
    assert "shop.as_of" in verdict.action


UNKNOWN = {
    "a surge of unknown items": (replace(SOUND, unknown_item_fraction=0.3), "collection"),
    "half of the baskets gone": (replace(SOUND, volume_ratio=0.4), "collection"),
    "three times the baskets": (replace(SOUND, volume_ratio=3.0), "collection"),
    "other hours": (replace(SOUND, drifts=drifts(hour=0.8)), "collection"),
    "other hours and other answers": (
        replace(SOUND, quality=UNSURE, drifts=drifts(hour=0.8, top_share=0.8)),
        "collection",
    ),
    "baskets of another size entirely": (replace(SOUND, drifts=drifts(n_labels=0.9)), "labeling"),
    "other answers to the same inputs, quality not yet known": (
        replace(SOUND, quality=UNSURE, drifts=drifts(top_share=0.4)),
        "deployment",
    ),
    "other answers, before any label": (
        replace(SOUND, quality=None, drifts=drifts(top_share=0.4)),
        "deployment",
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_no_cause_explains_is_asked(case: str) -> None:
    findings, target = UNKNOWN[case]
    verdict = judge(findings, refit=REFIT)
    assert (verdict.status, verdict.target_phase) == ("return", target)
    assert "no known cause explains it" in verdict.cause
    (repair,) = verdict.repairs
    assert repair.cause == "unknown"
    assert isinstance(repair.step, Ask)
    assert "Monitoring cannot tell the cause" in repair.step.question
    assert verdict.failing


def test_a_cause_takes_the_place_of_the_unknown() -> None:
    verdict = judge(replace(SOUND, unknown_item_fraction=0.3), diagnosis(MISJOINED))
    assert [repair.cause for repair in verdict.repairs] == ["labels_misjoined"]


def test_sound_traffic_goes_on_and_every_evidence_holds() -> None:
    verdict = judge(replace(SOUND, drifts=drifts(hour=0.05, top_share=0.01)), diagnosis())
    assert verdict.status == "proceed"
    assert all(item.holds for item in verdict.evidence)
    assert "drift" not in verdict.cause
    assert verdict.repairs == ()


def test_drift_without_a_loss_goes_on_with_a_warning() -> None:
    findings = replace(SOUND, drifts=drifts(recent_lines=0.3, top_share=0.4))
    verdict = judge(findings)
    assert verdict.status == "proceed"
    assert "drift: top_share (PSI 0.40), recent_lines (PSI 0.30)" in verdict.cause
    assert all(item.holds for item in verdict.evidence)


def test_drift_within_the_reference_s_own_variation_is_no_alarm() -> None:
    usual = Drift("recent_lines", "input", 0.4, (0.4,), 0.6, chance=0.01, weekly_chance=(0.01,))
    verdict = judge(replace(SOUND, quality=LOST, drifts=(usual,)))
    assert "concept drift" in verdict.cause


def test_the_expected_gain_is_what_was_lost() -> None:
    verdict = judge(replace(SOUND, quality=LOST))
    assert verdict.gain == pytest.approx(0.05)


def test_the_cost_is_that_of_the_phase_and_all_that_follow() -> None:
    assert judge(replace(SOUND, quality=LOST), minutes=MINUTES).cost_minutes == 4.5
    assert judge(replace(SOUND, quality=LOST)).cost_minutes is None


def test_the_evidence_of_quality_is_the_mean_beside_what_may_be_lost() -> None:
    first = judge(replace(SOUND, quality=LOST)).evidence[0]
    assert (first.name, first.value, first.holds) == ("recall@10", 0.15, False)
    assert first.bound == pytest.approx(0.18)


def test_a_loss_within_the_error_of_the_test_estimate_is_none() -> None:
    # 0.17 [0.162, 0.178] lies below 0.18; with a test estimate of [0.19, 0.21] it may be 0.171.
    findings = replace(SOUND, quality=Quality(0.17, 0.162, 0.178, 0.20, 900, 0.19, 0.21))
    assert judge(findings).status == "proceed"
    exact = replace(SOUND, quality=Quality(0.17, 0.162, 0.178, 0.20, 900, 0.20, 0.20))
    assert judge(exact).status == "return"


@pytest.mark.parametrize("p99_ms", [39.9, 40.0, 40.1])
def test_latency_is_held_against_the_plan_and_told_only_when_it_fails(p99_ms: float) -> None:
    holds = p99_ms <= 40.0
    verdict = judge(replace(SOUND, p99_ms=p99_ms))
    evidence = {e.name: e for e in verdict.evidence}["p99_latency_ms"]
    assert (evidence.value, evidence.bound, evidence.holds) == (None, 40.0, holds)
    assert ("p99 40.1 ms, 40 ms were planned" in verdict.cause) == (not holds)


@pytest.mark.parametrize(("high", "is_warned"), [(0.004, False), (-0.001, True)])
def test_counting_that_is_shown_to_be_better_is_a_warning(high: float, is_warned: bool) -> None:  # noqa: FBT001
    lead = {"difference": -0.006, "low": -0.012, "high": high}
    frequency = Alternative(
        "contextual", is_context_known=True, value=0.2, low=0.1, high=0.3, lead=lead
    )
    verdict = judge(replace(SOUND, frequency=frequency))
    assert verdict.status == "proceed"
    assert [e.name for e in verdict.warnings] == (["lead_over_frequency"] if is_warned else [])


def test_the_cause_names_what_failed() -> None:
    cause = judge(replace(SOUND, failed_fraction=0.02, n_lost_events=3)).cause
    assert "2.0% of the calls failed at first, 3 events were rejected" in cause

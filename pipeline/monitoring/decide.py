"""The verdict: what the diagnosis shows, else what quality and the service show.

    service fails                                        -> deployment   restart, or roll back
    answers are not those of the verified bundle         -> deployment   restart, or roll back
    a cause of the catalogue (monitoring/diagnosis)      -> its phase    its repair
    quality lost, inputs moved                           -> training     refit on newer data
    quality lost, nothing else moved                     -> training     user behaviour changed
    something is beyond its bound, and nothing tells why -> a person     unknown
    otherwise                                            -> proceed      drift is reported

The limit of a signal depends on quality: see `pipeline.monitoring.evidence.psi_limit`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.contracts.params import MonitoringParams
from pipeline.contracts.phases import Phase
from pipeline.contracts.repairs import Ask, Repair, Restart, RollBack, Step
from pipeline.contracts.verdicts import Evidence, Verdict, as_warnings
from pipeline.monitoring.agreement import MINIMUM_AGREEMENT, agreement_evidence
from pipeline.monitoring.diagnosis.diagnose import Diagnosis
from pipeline.monitoring.diagnosis.repairs import build_repairs, cost_minutes, describe_causes
from pipeline.monitoring.drift import Drift, Kind
from pipeline.monitoring.evidence import (
    Findings,
    build_evidence,
    has_volume,
    is_fast,
    judge_quality,
    psi_limit,
)
from pipeline.monitoring.quality import State

NOTHING = Diagnosis((), ())


@dataclass(frozen=True)
class Decision:
    """A row of the table.

    Attributes:
        name: Name of the cause.
        cause: The cause in words.
        target: The phase to redo.
        action: What to do, for a person.
        steps: What a program can do, the first one first.
    """

    name: str
    cause: str
    target: Phase
    action: str
    steps: tuple[Step, ...] = ()


REFIT = "Refit on the newest data: set shop.as_of later and run `uv run dvc repro`."
FAILING = Decision(
    "service_failure",
    "the service fails or is slow: {what}",
    "deployment",
    "Read the service's log and metrics; roll back to the version before, or restart it.",
    (Restart(), RollBack()),
)
WRONG_MODEL = Decision(
    "wrong_model",
    "the served answers are not those of the verified bundle: {what}",
    "deployment",
    "Restart the service; if the answers stay wrong, roll back to the version before.",
    (Restart(), RollBack()),
)
AGED = Decision(
    "stale_model",
    "requests have drifted from the training data, and quality has dropped: {what}",
    "training",
    REFIT,
)
NEW_HABIT = Decision(
    "concept_drift",
    "similar requests are followed by other purchases (concept drift)",
    "training",
    REFIT,
)
UNKNOWN: dict[Kind, tuple[Phase, str]] = {
    "input": ("collection", "Compare the newest partitions with the older ones."),
    "label": ("labeling", "Audit a sample of the newest labels."),
    "output": ("deployment", "Compare the bundle with its golden answers."),
}


@dataclass(frozen=True)
class Judged:
    """What monitoring measured.

    Attributes:
        findings: The numbers that the verdict depends on.
        diagnosis: The causes in the window's data and labels.
        gains: Quality that undoing a cause restores, by the cause's name.
        refit: The step that refits on newer data; None if there are none.
    """

    findings: Findings
    diagnosis: Diagnosis = NOTHING
    gains: Mapping[str, float] = field(default_factory=dict)
    refit: Step | None = None


def decide(
    judged: Judged, params: MonitoringParams, stage_minutes: Mapping[str, float] | None = None
) -> Verdict:
    """Return the verdict of monitoring.

    Args:
        judged: What was measured.
        params: The bounds.
        stage_minutes: Expected minutes of each stage in the plan.
    """
    findings, minutes = judged.findings, stage_minutes or {}
    state = judge_quality(findings, params)
    evidence = (
        *build_evidence(findings, state, params),
        *agreement_evidence(findings.agreement),
        *_causes_as_evidence(judged.diagnosis),
    )
    row, what = _row(judged, state, params)
    if row is None:
        return Verdict(
            phase="monitoring",
            status="proceed",
            cause=_describe_stable(findings, state, params),
            evidence=as_warnings(evidence),
        )
    because = row.cause.format(what=what)
    return Verdict(
        phase="monitoring",
        status="return",
        cause=f"{_measured(findings)}: {because}",
        evidence=evidence,
        target_phase=row.target,
        action=row.action,
        gain=_lost(findings),
        cost_minutes=cost_minutes(row.target, minutes),
        repairs=_repairs(row, judged, because, minutes),
    )


def _repairs(
    row: Decision, judged: Judged, because: str, minutes: Mapping[str, float]
) -> tuple[Repair, ...]:
    """Return the repairs of the row, and then those of the causes in the data."""
    of_causes = build_repairs(judged.diagnosis, judged.gains, minutes)
    if row.name in {item.measured.cause.name for item in judged.diagnosis.causes}:
        return of_causes
    lost = _lost(judged.findings)
    of_row = tuple(
        Repair(
            cause=row.name,
            target_phase=row.target,
            step=step,
            because=because,
            expected_gain=lost if lost and lost > 0 else None,
            cost_minutes=cost_minutes(row.target, minutes),
        )
        for step in _steps(row, judged, because)
    )
    return (*of_row, *of_causes)


def _lost(findings: Findings) -> float | None:
    """Return the quality lost since testing, or None if it is not known."""
    return None if findings.quality is None else findings.quality.reference - findings.quality.value


def _steps(row: Decision, judged: Judged, because: str) -> tuple[Step, ...]:
    if row.target == "training":
        return () if judged.refit is None else (judged.refit,)
    if row.name == "unknown":
        return (Ask(question=f"Monitoring cannot tell the cause: {because}. What is it?"),)
    return row.steps


def _causes_as_evidence(diagnosis: Diagnosis) -> tuple[Evidence, ...]:
    """Return the statistic of each cause beyond its bound."""
    return tuple(
        Evidence(
            name=item.cause.name,
            value=item.value,
            bound=item.bound,
            holds=not item.excess,
            note=item.cause.statistic,
        )
        for item in diagnosis.measured
        if item.excess
    )


def _row(judged: Judged, state: State, params: MonitoringParams) -> tuple[Decision | None, str]:
    """Return the first matching row of the table, and the names in its cause."""
    findings, causes = judged.findings, judged.diagnosis.causes
    inputs = _names(_moved(findings, "input", params.psi_alarm))
    failing, agreement = _failures(findings, params), findings.agreement
    if failing:
        return FAILING, ", ".join(failing)
    if agreement is not None and agreement < MINIMUM_AGREEMENT:
        return WRONG_MODEL, f"{agreement:.0%} of the items agree"
    if causes:
        first, words = causes[0], describe_causes(judged.diagnosis)
        phase, action = first.suspicion.phase, first.suspicion.action
        return Decision(first.measured.cause.name, "{what}", phase, action), words
    if state == "lost":
        return (AGED, ", ".join(inputs)) if inputs else (NEW_HABIT, "")
    return _unknown(findings, state, params)


def _unknown(
    findings: Findings, state: State, params: MonitoringParams
) -> tuple[Decision | None, str]:
    """Return the row for what is beyond its bound without a cause, or None."""
    moved = {
        kind: _names(_moved(findings, kind, psi_limit(kind, state, params))) for kind in UNKNOWN
    }
    moved["input"] = [*_damage(findings, params), *moved["input"]]
    if moved["input"]:
        moved["output"] = []  # other requests have other answers
    for kind, (phase, action) in UNKNOWN.items():
        if moved[kind]:
            cause = "{what}, and no known cause explains it"
            return Decision("unknown", cause, phase, action), ", ".join(moved[kind])
    return None, ""


def _moved(findings: Findings, kind: Kind, threshold: float) -> list[Drift]:
    moved = [
        drift for drift in findings.drifts if drift.kind == kind and drift.is_beyond(threshold)
    ]
    return sorted(moved, key=lambda drift: -drift.worst)


def _names(drifts: Sequence[Drift]) -> list[str]:
    return [f"{drift.signal} (PSI {drift.worst:.2f})" for drift in drifts]


def _damage(findings: Findings, params: MonitoringParams) -> list[str]:
    names = []
    if findings.unknown_item_fraction > params.maximum_unknown_fraction:
        names.append(f"{findings.unknown_item_fraction:.0%} of the lines are on unknown items")
    if not has_volume(findings, params):
        names.append(f"{findings.volume_ratio:.2f} times the baskets per day of the test window")
    return names


def _failures(findings: Findings, params: MonitoringParams) -> list[str]:
    names = []
    if findings.failed_fraction > params.maximum_failed_fraction:
        names.append(f"{findings.failed_fraction:.1%} of the calls failed at first")
    if findings.unanswered_fraction > params.maximum_failed_fraction:
        names.append(f"{findings.unanswered_fraction:.1%} of the requests have no answer")
    if findings.n_lost_events:
        names.append(f"{findings.n_lost_events} events were rejected")
    if findings.p99_ms is None:
        names.append("it does not report its latency")
    elif not is_fast(findings):
        names.append(f"p99 {findings.p99_ms:.1f} ms, {findings.p99_limit_ms:g} ms were planned")
    return names


def _measured(findings: Findings) -> str:
    if findings.quality is None:
        return "No purchase of the window is known yet"
    q = findings.quality
    return (
        f"{findings.metric} {q.value:.4f} [{q.low:.4f}, {q.high:.4f}], {q.reference:.4f} in testing"
    )


def _describe_stable(findings: Findings, state: State, params: MonitoringParams) -> str:
    words = {"kept": "quality is kept", "unsure": "no loss is shown", "lost": ""}[state]
    drifting = [drift for drift in findings.drifts if drift.is_beyond(params.psi_warning)]
    drifting.sort(key=lambda drift: -drift.worst)
    warning = f"; drift: {', '.join(_names(drifting))}" if drifting else ""
    return f"{_measured(findings)}: {words}{warning}"

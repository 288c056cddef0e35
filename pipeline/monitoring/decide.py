"""The decision table: which signals moved, the cause, and the phase to redo; the first match wins.

    service fails                                        -> deployment   restart or roll back
    unknown items or volume beyond their bounds          -> collection   the data is broken
    quality lost, repeat share and inputs moved          -> collection   user ids are mixed up
    an input beyond psi_broken                           -> collection   the data is broken
    quality lost, repeat share moved, inputs stable      -> labeling     labels joined wrongly
    labels beyond psi_broken                             -> labeling     labels are broken
    quality lost, inputs moved                           -> training     refit on newer data
    quality not kept, outputs moved, inputs stable       -> deployment   wrong or damaged model
    quality lost, labels moved                           -> labeling     labels changed meaning
    quality lost, nothing moved                          -> training     user behaviour changed
    otherwise                                            -> proceed      drift is reported

The limit of a signal depends on quality: see `pipeline.monitoring.evidence.psi_limit`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.contracts.params import MonitoringParams
from pipeline.contracts.phases import PHASES, Phase
from pipeline.contracts.verdicts import Verdict, as_warnings
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

REPEAT_SHARE = "repeat_label_share"


@dataclass(frozen=True)
class Decision:
    """A row of the decision table."""

    cause: str
    target: Phase
    action: str


FAILING = Decision(
    "the service fails or is slow: {what}",
    "deployment",
    "Read the service's log and metrics; roll back to the version before, or restart it.",
)
BROKEN = Decision(
    "the data is broken at its source: {what}",
    "collection",
    "Compare the newest partitions with the older ones: schema, units, clock, item ids, gaps.",
)
MIXED_UP = Decision(
    "shoppers no longer buy the items that they bought before, and inputs moved: user ids are "
    "mixed up at the source",
    "collection",
    "Check how user ids are assigned in the newest partitions.",
)
MISJOINED = Decision(
    "labels no longer belong to the shopper of the request, while inputs are stable",
    "labeling",
    "Check the join of predictions with purchases; audit a sample of the newest labels.",
)
BROKEN_LABELS = Decision(
    "labels are broken: {what}",
    "labeling",
    "Audit the newest labels: baskets split or merged, lines missing.",
)
AGED = Decision(
    "requests have drifted from the training data, and quality has dropped: {what}",
    "training",
    "Refit on the newest data: set shop.as_of later and run `uv run dvc repro`.",
)
WRONG_MODEL = Decision(
    "answers have drifted while requests have not: {what}; the served model is wrong or damaged",
    "deployment",
    "Roll back to the version before, and compare the bundle with its golden answers.",
)
NEW_LABELS = Decision(
    "baskets have drifted while requests have not: {what}",
    "labeling",
    "Audit a sample of the newest labels; if they are right, refit on the newest data.",
)
NEW_HABIT = Decision(
    "similar requests are followed by other purchases (concept drift)",
    "training",
    "Refit on the newest data: set shop.as_of later and run `uv run dvc repro`.",
)


def decide(
    findings: Findings, params: MonitoringParams, stage_minutes: Mapping[str, float] | None = None
) -> Verdict:
    """Return the verdict of monitoring.

    Args:
        findings: The numbers that the verdict depends on.
        params: The bounds.
        stage_minutes: Expected minutes of each stage in the plan.
    """
    state = judge_quality(findings, params)
    evidence = build_evidence(findings, state, params)
    row, what = _row(findings, state, params)
    if row is None:
        return Verdict(
            phase="monitoring",
            status="proceed",
            cause=_describe_stable(findings, state, params),
            evidence=as_warnings(evidence),
        )
    return Verdict(
        phase="monitoring",
        status="return",
        cause=f"{_measured(findings)}: {row.cause.format(what=what)}",
        evidence=evidence,
        target_phase=row.target,
        action=row.action,
        gain=None
        if findings.quality is None
        else findings.quality.reference - findings.quality.value,
        cost_minutes=cost_minutes(row.target, stage_minutes or {}),
    )


def cost_minutes(target: Phase, stage_minutes: Mapping[str, float]) -> float | None:
    """Return the expected minutes to redo a phase and all later phases, or None if unknown.

    >>> cost_minutes("deployment", {"training": 2.0, "deployment": 1.0, "monitoring": 0.5})
    1.5
    """
    phases = PHASES[PHASES.index(target) :]
    minutes = [stage_minutes[phase] for phase in phases if phase in stage_minutes]
    return sum(minutes) if len(minutes) == len(phases) else None


def _row(findings: Findings, state: State, params: MonitoringParams) -> tuple[Decision | None, str]:
    """Return the first matching row of the table, and the names in its cause."""
    inputs = _moved(findings, "input", params.psi_alarm)
    outputs = _moved(findings, "output", psi_limit("output", state, params))
    labels = _moved(findings, "label", params.psi_alarm)
    failing, damage = _failures(findings, params), _damage(findings, params)
    broken = [*damage, *_names(_moved(findings, "input", params.psi_broken))]
    broken_labels = _moved(findings, "label", params.psi_broken)
    has_repeat_drift = any(drift.signal == REPEAT_SHARE for drift in labels)
    is_lost = state == "lost"
    table: tuple[tuple[bool, Decision, Sequence[str]], ...] = (
        (bool(failing), FAILING, failing),
        (bool(damage), BROKEN, broken),
        (is_lost and has_repeat_drift and bool(inputs), MIXED_UP, []),
        (bool(broken), BROKEN, broken),
        (is_lost and has_repeat_drift, MISJOINED, []),
        (bool(broken_labels), BROKEN_LABELS, _names(broken_labels)),
        (is_lost and bool(inputs), AGED, _names(inputs)),
        (bool(outputs) and not inputs, WRONG_MODEL, _names(outputs)),
        (is_lost and bool(labels), NEW_LABELS, _names(labels)),
        (is_lost, NEW_HABIT, []),
    )
    return next(((row, ", ".join(names)) for fits, row, names in table if fits), (None, ""))


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

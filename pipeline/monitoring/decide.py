"""What moved, what that means, and which phase has to be redone: one table, read from the top.

    service fails                                        -> deployment   restart or roll back
    unknown items or volume beyond their bounds          -> collection   the data is broken
    quality lost, own purchases foreign, inputs moved    -> collection   shoppers are mixed up
    an input beyond all people                           -> collection   the data is broken
    quality lost, own purchases foreign, inputs stable   -> labeling     labels joined wrongly
    labels beyond all people                             -> labeling     labels are broken
    quality lost, inputs moved                           -> training     refit on newer data
    quality not kept, outputs moved, inputs stable       -> deployment   wrong or damaged model
    quality lost, labels moved                           -> labeling     labels mean something else
    quality lost, nothing moved                          -> training     the habit changed
    otherwise                                            -> go on        what moved is noted

How far a signal may move depends on quality: see `pipeline.monitoring.evidence.limit_of`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.contracts.params import MonitoringParams
from pipeline.contracts.verdicts import PHASES, Phase, Verdict, as_warnings
from pipeline.monitoring.drift import Drift, Kind
from pipeline.monitoring.evidence import (
    Findings,
    evidence_of,
    has_volume,
    is_fast,
    limit_of,
    state_of,
)
from pipeline.monitoring.quality import State

OWN_PURCHASES = "repeat_label_share"


@dataclass(frozen=True)
class Decision:
    """A row of the table."""

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
    "shoppers no longer buy what they themselves bought before, and inputs moved: user ids are "
    "mixed up at the source",
    "collection",
    "Check how user ids are assigned in the newest partitions.",
)
MISJOINED = Decision(
    "what is counted as bought no longer belongs to the shopper who asked, while inputs are stable",
    "labeling",
    "Check the join of predictions with purchases; audit a sample of the newest labels.",
)
BROKEN_LABELS = Decision(
    "labels are broken: {what}",
    "labeling",
    "Audit the newest labels: baskets split or merged, lines missing.",
)
AGED = Decision(
    "requests have moved away from what the model learned, and quality went with them: {what}",
    "training",
    "Refit on the newest data: set shop.as_of later and run `uv run dvc repro`.",
)
WRONG_MODEL = Decision(
    "answers have moved while requests have not: {what}; the served model is wrong or damaged",
    "deployment",
    "Roll back to the version before, and compare the bundle with its golden answers.",
)
NEW_LABELS = Decision(
    "what shoppers buy has another shape, while requests look the same: {what}",
    "labeling",
    "Audit a sample of the newest labels; if they are right, refit on the newest data.",
)
NEW_HABIT = Decision(
    "the same requests are followed by other purchases (concept drift)",
    "training",
    "Refit on the newest data: set shop.as_of later and run `uv run dvc repro`.",
)


def decide(
    found: Findings, params: MonitoringParams, stage_minutes: Mapping[str, float] | None = None
) -> Verdict:
    """Return the verdict of monitoring.

    Args:
        found: What the verdict rests on.
        params: The bounds.
        stage_minutes: What the plan expects each stage to take.
    """
    state = state_of(found, params)
    evidence = evidence_of(found, state, params)
    row, what = _row(found, state, params)
    if row is None:
        return Verdict(
            phase="monitoring",
            status="proceed",
            cause=_calm(found, state, params),
            evidence=as_warnings(evidence),
        )
    return Verdict(
        phase="monitoring",
        status="return",
        cause=f"{_measured(found)}: {row.cause.format(what=what)}",
        evidence=evidence,
        target_phase=row.target,
        action=row.action,
        gain=None if found.quality is None else found.quality.reference - found.quality.value,
        cost_minutes=cost_minutes(row.target, stage_minutes or {}),
    )


def cost_minutes(target: Phase, stage_minutes: Mapping[str, float]) -> float | None:
    """Return what it takes to redo a phase and all that follow it; None where it is not known.

    >>> cost_minutes("deployment", {"training": 2.0, "deployment": 1.0, "monitoring": 0.5})
    1.5
    """
    again = PHASES[PHASES.index(target) :]
    known = [stage_minutes[phase] for phase in again if phase in stage_minutes]
    return sum(known) if len(known) == len(again) else None


def _row(found: Findings, state: State, params: MonitoringParams) -> tuple[Decision | None, str]:
    """Return the first row of the table that fits, and the names that its cause tells."""
    inputs = _moved(found, "input", params.psi_alarm)
    outputs = _moved(found, "output", limit_of("output", state, params))
    labels = _moved(found, "label", params.psi_alarm)
    failing, damage = _failures(found, params), _damage(found, params)
    broken = [*damage, *_names(_moved(found, "input", params.psi_broken))]
    broken_labels = _moved(found, "label", params.psi_broken)
    is_foreign = any(drift.signal == OWN_PURCHASES for drift in labels)
    is_lost = state == "lost"
    table: tuple[tuple[bool, Decision, Sequence[str]], ...] = (
        (bool(failing), FAILING, failing),
        (bool(damage), BROKEN, broken),
        (is_lost and is_foreign and bool(inputs), MIXED_UP, []),
        (bool(broken), BROKEN, broken),
        (is_lost and is_foreign, MISJOINED, []),
        (bool(broken_labels), BROKEN_LABELS, _names(broken_labels)),
        (is_lost and bool(inputs), AGED, _names(inputs)),
        (bool(outputs) and not inputs, WRONG_MODEL, _names(outputs)),
        (is_lost and bool(labels), NEW_LABELS, _names(labels)),
        (is_lost, NEW_HABIT, []),
    )
    return next(((row, ", ".join(names)) for fits, row, names in table if fits), (None, ""))


def _moved(found: Findings, kind: Kind, threshold: float) -> list[Drift]:
    moved = [each for each in found.drifts if each.kind == kind and each.is_beyond(threshold)]
    return sorted(moved, key=lambda each: -each.worst)


def _names(drifts: Sequence[Drift]) -> list[str]:
    return [f"{each.signal} (PSI {each.worst:.2f})" for each in drifts]


def _damage(found: Findings, params: MonitoringParams) -> list[str]:
    names = []
    if found.unknown_item_fraction > params.maximum_unknown_fraction:
        names.append(f"{found.unknown_item_fraction:.0%} of the lines are on unknown items")
    if not has_volume(found, params):
        names.append(f"{found.volume_ratio:.2f} times the baskets per day of the test window")
    return names


def _failures(found: Findings, params: MonitoringParams) -> list[str]:
    names = []
    if found.failed_fraction > params.maximum_failed_fraction:
        names.append(f"{found.failed_fraction:.1%} of the calls failed at first")
    if found.unanswered_fraction > params.maximum_failed_fraction:
        names.append(f"{found.unanswered_fraction:.1%} of the requests have no answer")
    if found.n_lost_events:
        names.append(f"{found.n_lost_events} events were not taken")
    if found.p99_ms is None:
        names.append("it does not tell how long it took")
    elif not is_fast(found):
        names.append(f"p99 {found.p99_ms:.1f} ms, {found.p99_limit_ms:g} ms were planned")
    return names


def _measured(found: Findings) -> str:
    if found.quality is None:
        return "No purchase of the window is known yet"
    q = found.quality
    return f"{found.metric} {q.value:.4f} [{q.low:.4f}, {q.high:.4f}], {q.reference:.4f} in testing"


def _calm(found: Findings, state: State, params: MonitoringParams) -> str:
    words = {"kept": "quality is kept", "unsure": "no loss is shown", "lost": ""}[state]
    drifting = [each for each in found.drifts if each.is_beyond(params.psi_warning)]
    drifting.sort(key=lambda each: -each.worst)
    warning = f"; drift is noted: {', '.join(_names(drifting))}" if drifting else ""
    return f"{_measured(found)}: {words}{warning}"

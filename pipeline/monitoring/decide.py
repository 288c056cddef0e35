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

An input matters once quality is lost, an output once quality is not shown to be kept; before that,
only what is beyond all people (`psi_broken`) does. That is the bound that the evidence shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.monitoring.drift import Drift, Kind
from pipeline.monitoring.quality import Quality, State
from pipeline.params import MonitoringParams
from pipeline.verdicts import PHASES, Evidence, Phase, Verdict

OWN_PURCHASES = "repeat_label_share"


@dataclass(frozen=True)
class Findings:
    """All that the verdict rests on.

    Attributes:
        metric: The name of the quality that counts.
        quality: That quality over the whole window; None without a labelled request.
        drifts: Every signal.
        unknown_item_fraction: Lines bought on items that the model does not know, in 0..1.
        unknown_user_fraction: Requests of shoppers that bought nothing before, in 0..1.
        volume_ratio: Baskets per day against the test window, 1 = as many.
        failed_fraction: Requests without an answer, in 0..1.
        n_lost_events: Events that the service did not take.
        is_fast: Whether answers came well within the service's time limit.
    """

    metric: str
    quality: Quality | None
    drifts: tuple[Drift, ...]
    unknown_item_fraction: float
    unknown_user_fraction: float
    volume_ratio: float
    failed_fraction: float
    n_lost_events: int
    is_fast: bool


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    cause: str
    target: Phase
    action: str


FAILING = Row(
    "the service fails or is slow",
    "deployment",
    "Read the service's log and metrics; roll back to the version before, or restart it.",
)
BROKEN = Row(
    "the data is broken at its source: {what}",
    "collection",
    "Compare the newest partitions with the older ones: schema, units, clock, item ids, gaps.",
)
MIXED_UP = Row(
    "shoppers no longer buy what they themselves bought before, and inputs moved: user ids are "
    "mixed up at the source",
    "collection",
    "Check how user ids are assigned in the newest partitions.",
)
MISJOINED = Row(
    "what is counted as bought no longer belongs to the shopper who asked, while inputs are stable",
    "labeling",
    "Check the join of predictions with purchases; audit a sample of the newest labels.",
)
BROKEN_LABELS = Row(
    "labels are broken: {what}",
    "labeling",
    "Audit the newest labels: baskets split or merged, lines missing.",
)
AGED = Row(
    "requests have moved away from what the model learned, and quality went with them: {what}",
    "training",
    "Refit on the newest data: set shop.as_of later and run `dvc repro`.",
)
WRONG_MODEL = Row(
    "answers have moved while requests have not: {what}; the served model is wrong or damaged",
    "deployment",
    "Roll back to the version before, and compare the bundle with its golden answers.",
)
NEW_LABELS = Row(
    "what shoppers buy has another shape, while requests look the same: {what}",
    "labeling",
    "Audit a sample of the newest labels; if they are right, refit on the newest data.",
)
NEW_HABIT = Row(
    "the same requests are followed by other purchases (concept drift)",
    "training",
    "Refit on the newest data: set shop.as_of later and run `dvc repro`.",
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
    state = _state(found, params)
    evidence = _evidence(found, state, params)
    row, what = _row(found, state, params)
    if row is None:
        return Verdict(
            phase="monitoring",
            status="proceed",
            cause=_calm(found, state, params),
            evidence=evidence,
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


def _row(found: Findings, state: State, params: MonitoringParams) -> tuple[Row | None, str]:
    """Return the first row of the table that fits, and the names that its cause tells."""
    inputs = _moved(found, "input", params.psi_alarm)
    outputs = _moved(found, "output", _limit("output", state, params))
    labels = _moved(found, "label", params.psi_alarm)
    damage = _damage(found, params)
    broken = [*damage, *_names(_moved(found, "input", params.psi_broken))]
    broken_labels = _moved(found, "label", params.psi_broken)
    is_foreign = any(drift.signal == OWN_PURCHASES for drift in labels)
    is_lost = state == "lost"
    table: tuple[tuple[bool, Row, Sequence[str]], ...] = (
        (_is_failing(found, params), FAILING, []),
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


def _state(found: Findings, params: MonitoringParams) -> State:
    if found.quality is None:
        return "unsure"
    return found.quality.state(params.maximum_quality_loss_fraction)


def _limit(kind: Kind, state: State, params: MonitoringParams) -> float:
    matters = state != "kept" if kind == "output" else state == "lost"
    return params.psi_alarm if matters else params.psi_broken


def _moved(found: Findings, kind: Kind, threshold: float) -> list[Drift]:
    moved = [each for each in found.drifts if each.kind == kind and each.is_beyond(threshold)]
    return sorted(moved, key=lambda each: -each.worst)


def _names(drifts: Sequence[Drift]) -> list[str]:
    return [f"{each.signal} (PSI {each.worst:.2f})" for each in drifts]


def _damage(found: Findings, params: MonitoringParams) -> list[str]:
    names = []
    if found.unknown_item_fraction > params.maximum_unknown_fraction:
        names.append(f"{found.unknown_item_fraction:.0%} of the lines are on unknown items")
    if not _has_volume(found, params):
        names.append(f"{found.volume_ratio:.2f} times the baskets per day of the test window")
    return names


def _has_volume(found: Findings, params: MonitoringParams) -> bool:
    return 1 / params.maximum_volume_ratio <= found.volume_ratio <= params.maximum_volume_ratio


def _is_failing(found: Findings, params: MonitoringParams) -> bool:
    too_many = found.failed_fraction > params.maximum_failed_fraction
    return too_many or found.n_lost_events > 0 or not found.is_fast


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


def _evidence(found: Findings, state: State, params: MonitoringParams) -> tuple[Evidence, ...]:
    drifts = [_drift_evidence(found, kind, state, params) for kind in ("input", "output", "label")]
    return (
        *_quality_evidence(found, state, params),
        *(each for each in drifts if each is not None),
        Evidence(
            name="unknown_item_fraction",
            value=found.unknown_item_fraction,
            bound=params.maximum_unknown_fraction,
            holds=found.unknown_item_fraction <= params.maximum_unknown_fraction,
            note=f"of the lines bought; unknown shoppers: {found.unknown_user_fraction:.1%}",
        ),
        Evidence(
            name="volume_ratio",
            value=found.volume_ratio,
            bound=params.maximum_volume_ratio,
            holds=_has_volume(found, params),
            note="baskets per day against the test window; the bound holds both ways",
        ),
        Evidence(
            name="failed_fraction",
            value=found.failed_fraction,
            bound=params.maximum_failed_fraction,
            holds=found.failed_fraction <= params.maximum_failed_fraction
            and found.n_lost_events == 0,
            note=f"requests without an answer; events not taken: {found.n_lost_events}",
        ),
        Evidence(
            name="latency",
            value=None,
            holds=found.is_fast,
            note="measured: in the tracking store and reports/monitoring/latency.json",
        ),
    )


def _quality_evidence(
    found: Findings, state: State, params: MonitoringParams
) -> tuple[Evidence, ...]:
    if found.quality is None:
        return ()
    q = found.quality
    return (
        Evidence(
            name=found.metric,
            value=q.high,
            bound=(1 - params.maximum_quality_loss_fraction) * q.reference,
            holds=state != "lost",
            note=f"upper end of {q.value:.4f} [{q.low:.4f}, {q.high:.4f}], against "
            f"{1 - params.maximum_quality_loss_fraction:.0%} of {q.reference:.4f} in testing",
        ),
    )


def _drift_evidence(
    found: Findings, kind: Kind, state: State, params: MonitoringParams
) -> Evidence | None:
    """Return the signal of this kind that is nearest to its bound, or furthest beyond it."""
    limit = _limit(kind, state, params)
    drifts = [each for each in found.drifts if each.kind == kind]
    if not drifts:
        return None
    worst = max(drifts, key=lambda each: each.worst / each.allowed(limit))
    return Evidence(
        name=f"{kind}_drift",
        value=worst.worst,
        bound=worst.allowed(limit),
        holds=not worst.is_beyond(limit),
        note=f"PSI of {worst.signal}, its worst week; quality is {state}",
    )

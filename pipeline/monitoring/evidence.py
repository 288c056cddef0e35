"""Every number that the verdict rests on, beside the bound that it is held against.

An input matters once quality is lost; before that only what is beyond all people (`psi_broken`)
does. An output matters once quality is not shown to be kept.
"""

import math
from dataclasses import dataclass

from pipeline.contracts.params import MonitoringParams
from pipeline.contracts.verdicts import Evidence
from pipeline.monitoring.context import Alternative
from pipeline.monitoring.drift import Drift, Kind
from pipeline.monitoring.quality import Quality, State


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
        failed_fraction: Calls of the service whose first attempt failed, in 0..1.
        unanswered_fraction: Requests without an answer after all attempts, in 0..1.
        n_lost_events: Events that the service did not take.
        p99_ms: The service's own 99th percentile; None where it did not tell.
        p99_limit_ms: What the plan allows.
        frequency: The best live frequency baseline that knew what the champion knew; None without.
    """

    metric: str
    quality: Quality | None
    drifts: tuple[Drift, ...]
    unknown_item_fraction: float
    unknown_user_fraction: float
    volume_ratio: float
    failed_fraction: float
    unanswered_fraction: float
    n_lost_events: int
    p99_ms: float | None
    p99_limit_ms: float
    frequency: Alternative | None


def state_of(found: Findings, params: MonitoringParams) -> State:
    """Return whether quality is kept, lost, or not yet known."""
    if found.quality is None:
        return "unsure"
    return found.quality.state(params.maximum_quality_loss_fraction)


def limit_of(kind: Kind, state: State, params: MonitoringParams) -> float:
    """Return how far signals of this kind may move, given what is known of quality.

    A refit may answer on another scale than the model that was tested, so outputs that moved are
    no alarm while their quality is shown to be kept.
    """
    if kind == "output":
        return math.inf if state == "kept" else params.psi_alarm
    return params.psi_alarm if state == "lost" else params.psi_broken


def has_volume(found: Findings, params: MonitoringParams) -> bool:
    """Tell whether about as many baskets came as in the test window."""
    return 1 / params.maximum_volume_ratio <= found.volume_ratio <= params.maximum_volume_ratio


def is_fast(found: Findings) -> bool:
    """Tell whether the service is known to answer as fast as planned."""
    return found.p99_ms is not None and found.p99_ms <= found.p99_limit_ms


def evidence_of(found: Findings, state: State, params: MonitoringParams) -> tuple[Evidence, ...]:
    """Return every number that the verdict rests on, beside its bound."""
    drifts = [_drift_evidence(found, kind, state, params) for kind in ("input", "output", "label")]
    return (
        *_quality_evidence(found, state, params),
        *(each for each in drifts if each is not None),
        _at_most(
            "unknown_item_fraction",
            found.unknown_item_fraction,
            params.maximum_unknown_fraction,
            note=f"of the lines bought; unknown shoppers: {found.unknown_user_fraction:.1%}",
        ),
        Evidence(
            name="volume_ratio",
            value=found.volume_ratio,
            bound=params.maximum_volume_ratio,
            holds=has_volume(found, params),
            note="baskets per day against the test window; the bound holds both ways",
        ),
        _at_most(
            "failed_fraction",
            found.failed_fraction,
            params.maximum_failed_fraction,
            note="calls of the service whose first attempt failed",
        ),
        _at_most(
            "unanswered_fraction",
            found.unanswered_fraction,
            params.maximum_failed_fraction,
            note="requests without an answer, however often they were tried",
        ),
        _at_most("lost_events", float(found.n_lost_events), 0.0, note="purchases not taken"),
        Evidence(
            name="p99_latency_ms",
            value=None,
            bound=found.p99_limit_ms,
            holds=is_fast(found),
            note="by the service's own clock; see latency.json beside this page",
        ),
        *_frequency_evidence(found),
    )


def _frequency_evidence(found: Findings) -> tuple[Evidence, ...]:
    """Return a warning where counting is shown to be better than what was served."""
    if found.frequency is None:
        return ()
    lead = found.frequency.lead
    return (
        Evidence(
            name="lead_over_frequency",
            value=lead["difference"],
            bound=0.0,
            holds=lead["high"] >= 0,
            gates=False,
            note=f"{found.metric} served less that of the {found.frequency.method} baseline, live, "
            f"on a sample of the same requests: [{lead['low']:+.4f}, {lead['high']:+.4f}]",
        ),
    )


def _at_most(name: str, value: float, bound: float, *, note: str) -> Evidence:
    return Evidence(name=name, value=value, bound=bound, holds=value <= bound, note=note)


def _quality_evidence(
    found: Findings, state: State, params: MonitoringParams
) -> tuple[Evidence, ...]:
    if found.quality is None:
        return ()
    q, kept = found.quality, 1 - params.maximum_quality_loss_fraction
    low, high = q.difference(kept)
    return (
        Evidence(
            name=found.metric,
            value=q.value,
            bound=kept * q.reference,
            holds=state != "lost",
            note=f"the difference to {kept:.0%} of {q.reference:.4f} "
            f"[{q.reference_low:.4f}, {q.reference_high:.4f}] in testing lies in "
            f"[{low:+.4f}, {high:+.4f}], the errors of both estimates counted; a loss lies below 0",
        ),
    )


def _drift_evidence(
    found: Findings, kind: Kind, state: State, params: MonitoringParams
) -> Evidence | None:
    """Return the signal of this kind that is nearest to its bound, or furthest beyond it."""
    limit = limit_of(kind, state, params)
    drifts = [each for each in found.drifts if each.kind == kind]
    if not drifts:
        return None
    held = limit if math.isfinite(limit) else params.psi_alarm
    worst = max(drifts, key=lambda drift: drift.against(held)[0] / drift.against(held)[1])
    value, allowed = worst.against(limit)
    return Evidence(
        name=f"{kind}_drift",
        value=value,
        bound=allowed if math.isfinite(allowed) else None,
        holds=value <= allowed,
        note=f"PSI of {worst.signal}, in the window or its worst week; quality is {state}",
    )

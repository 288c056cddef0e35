"""The evidence of the verdict: every number with its bound.

Drift of inputs counts beyond `psi_alarm` if quality is lost, and beyond `psi_broken` otherwise.
Drift of outputs counts unless quality is shown to be kept.
"""

import math
from dataclasses import dataclass

from pipeline.contracts.params import MonitoringParams
from pipeline.contracts.verdicts import Evidence
from pipeline.monitoring.context import Alternative
from pipeline.monitoring.drift import Drift, Kind
from pipeline.monitoring.hard_weeks import BaselineComparison
from pipeline.monitoring.horizons import HorizonQuality
from pipeline.monitoring.operations import (
    Operations,
    ReleaseQuality,
    operations_evidence,
    release_evidence,
)
from pipeline.monitoring.quality import Quality, State
from pipeline.monitoring.slices import SliceQuality, slice_evidence


@dataclass(frozen=True)
class Findings:
    """The numbers that the verdict depends on.

    Attributes:
        metric: Name of the quality metric that counts.
        quality: That metric over the whole window; None without a labelled request.
        drifts: Drift of every signal.
        unknown_item_fraction: Share of purchase lines with items unknown to the model, in 0..1.
        unknown_user_fraction: Share of requests of users without earlier purchases, in 0..1.
        volume_ratio: Baskets per day, relative to the test window; NaN if not known yet.
        failed_fraction: Share of calls to the service whose first attempt failed, in 0..1.
        unanswered_fraction: Share of requests without an answer after all attempts, in 0..1.
        n_lost_events: Events that the service did not accept.
        p99_ms: 99th percentile of latency by the service's clock; None if not reported.
        p99_limit_ms: Limit of the plan.
        frequency: The best live frequency baseline with the champion's context, or None.
        horizons: Quality at each horizon, the shortest first.
        agreement: Share of the served repeat items that the verified bundle puts on the same
            lists, in 0..1; None if not measured.
        comparison: Each week beside the live frequency baseline; None if not measured.
        easy_quality: Quality without the hard weeks; None if every week is hard, or none is.
        slices: Each slice beside the live frequency baseline.
        operations: Operations of a running service; None of a replay.
        releases: The model versions that answered.
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
    horizons: tuple[HorizonQuality, ...] = ()
    agreement: float | None = None
    comparison: BaselineComparison | None = None
    easy_quality: Quality | None = None
    slices: tuple[SliceQuality, ...] = ()
    operations: Operations | None = None
    releases: tuple[ReleaseQuality, ...] = ()


def judge_quality(findings: Findings, params: MonitoringParams) -> State:
    """Return whether quality is kept, lost or unsure; a loss of hard weeks only is unsure."""
    if findings.quality is None:
        return "unsure"
    state = findings.quality.state(params.maximum_quality_loss_fraction)
    return "unsure" if state == "lost" and explains_loss(findings, params) else state


def explains_loss(findings: Findings, params: MonitoringParams) -> bool:
    """Return whether a loss of quality is one of a few hard weeks.

    It is not if inputs or labels drifted, because a fault of the data takes the baseline down too.
    """
    hard = () if findings.comparison is None else findings.comparison.hard_weeks
    if not 0 < len(hard) <= params.maximum_hard_weeks:
        return False
    if any(
        drift.kind != "output" and drift.is_beyond(params.psi_alarm) for drift in findings.drifts
    ):
        return False
    rest = findings.easy_quality
    return rest is None or rest.state(params.maximum_quality_loss_fraction) != "lost"


def psi_limit(kind: Kind, state: State, params: MonitoringParams) -> float:
    """Return the PSI limit of signals of this kind, given the state of quality.

    A refit may score on another scale than the tested model, so drift of outputs is no alarm while
    quality is shown to be kept.
    """
    if kind == "output":
        return math.inf if state == "kept" else params.psi_alarm
    return params.psi_alarm if state == "lost" else params.psi_broken


def has_volume(findings: Findings, params: MonitoringParams) -> bool:
    """Return whether the volume of baskets is similar to the test window, or unknown (NaN)."""
    if math.isnan(findings.volume_ratio):
        return True
    return 1 / params.maximum_volume_ratio <= findings.volume_ratio <= params.maximum_volume_ratio


def is_fast(findings: Findings) -> bool:
    """Return whether the service reports a latency within the plan."""
    return findings.p99_ms is not None and findings.p99_ms <= findings.p99_limit_ms


def build_evidence(
    findings: Findings, state: State, params: MonitoringParams
) -> tuple[Evidence, ...]:
    """Return every number of the verdict with its bound."""
    drifts = [
        _drift_evidence(findings, kind, state, params) for kind in ("input", "output", "label")
    ]
    return (
        *_quality_evidence(findings, state, params),
        *(drift for drift in drifts if drift is not None),
        _at_most(
            "unknown_item_fraction",
            findings.unknown_item_fraction,
            params.maximum_unknown_fraction,
            note=f"of the purchase lines; unknown shoppers: {findings.unknown_user_fraction:.1%}",
        ),
        Evidence(
            name="volume_ratio",
            value=None if math.isnan(findings.volume_ratio) else findings.volume_ratio,
            bound=params.maximum_volume_ratio,
            holds=has_volume(findings, params),
            note="baskets per day relative to the test window, of a period of a day or more; the "
            "bound also limits decreases",
        ),
        _at_most(
            "failed_fraction",
            findings.failed_fraction,
            params.maximum_failed_fraction,
            note="calls of the service whose first attempt failed",
        ),
        _at_most(
            "unanswered_fraction",
            findings.unanswered_fraction,
            params.maximum_failed_fraction,
            note="requests without an answer after all attempts",
        ),
        _at_most("lost_events", float(findings.n_lost_events), 0.0, note="rejected purchases"),
        Evidence(
            name="p99_latency_ms",
            value=None,
            bound=findings.p99_limit_ms,
            holds=is_fast(findings),
            note="by the service's clock; see latency.json in the folder of this page",
        ),
        *_frequency_evidence(findings),
        *slice_evidence(findings.slices),
        *operations_evidence(findings.operations, params),
        *release_evidence(findings.releases, findings.metric),
    )


def _frequency_evidence(findings: Findings) -> tuple[Evidence, ...]:
    """Return the lead of the served answers over frequency; it warns if it is negative."""
    if findings.frequency is None:
        return ()
    lead = findings.frequency.lead
    return (
        Evidence(
            name="lead_over_frequency",
            value=lead["difference"],
            bound=0.0,
            holds=lead["high"] >= 0,
            gates=False,
            note=f"{findings.metric} of served answers minus {findings.frequency.method}, live, "
            f"on a sample of the same requests: [{lead['low']:+.4f}, {lead['high']:+.4f}]",
        ),
    )


def _at_most(name: str, value: float, bound: float, *, note: str) -> Evidence:
    return Evidence(name=name, value=value, bound=bound, holds=value <= bound, note=note)


def _quality_evidence(
    findings: Findings, state: State, params: MonitoringParams
) -> tuple[Evidence, ...]:
    """Return quality, and that of longer horizons, which only warns; immature ones never do."""
    first, *longer = findings.horizons or (None,)
    kept_fraction = 1 - params.maximum_quality_loss_fraction
    evidence = []
    if findings.quality is not None:
        q = findings.quality
        note = _describe_difference(q, kept_fraction)
        evidence.append(
            Evidence(
                name=findings.metric,
                value=q.value,
                bound=kept_fraction * q.reference,
                holds=state != "lost",
                note=note
                + ("" if first is None else f"; {_describe_horizon(first)}")
                + _describe_hard_weeks(findings, params),
            )
        )
    elif first is not None:
        evidence.append(
            Evidence(
                name=findings.metric,
                value=None,
                holds=False,
                gates=False,
                note=_describe_immature(first, params),
            )
        )
    return (*evidence, *(_horizon_evidence(findings.metric, later, params) for later in longer))


def _horizon_evidence(metric: str, horizon: HorizonQuality, params: MonitoringParams) -> Evidence:
    name, kept_fraction = f"{metric}_{horizon.days}_days", 1 - params.maximum_quality_loss_fraction
    if not horizon.is_mature:
        note = _describe_immature(horizon, params)
        return Evidence(name=name, value=None, holds=True, gates=False, note=note)
    q = horizon.quality[metric]
    return Evidence(
        name=name,
        value=q.value,
        bound=kept_fraction * q.reference,
        holds=q.state(params.maximum_quality_loss_fraction) != "lost",
        gates=False,
        note=f"{_describe_difference(q, kept_fraction)}; {_describe_horizon(horizon)}",
    )


def _describe_difference(q: Quality, kept_fraction: float) -> str:
    low, high = q.difference(kept_fraction)
    return (
        f"the difference to {kept_fraction:.0%} of {q.reference:.4f} "
        f"[{q.reference_low:.4f}, {q.reference_high:.4f}] in testing lies in "
        f"[{low:+.4f}, {high:+.4f}], the errors of both estimates counted; a loss lies below 0"
    )


def _describe_hard_weeks(findings: Findings, params: MonitoringParams) -> str:
    comparison = findings.comparison
    if comparison is None or not comparison.hard_weeks:
        return ""
    names = ", ".join(str(week + 1) for week in comparison.hard_weeks)
    words = "which explains a loss" if explains_loss(findings, params) else "not the whole cause"
    return f"; hard week: {names} ({comparison.method} frequency lost as much), {words}"


def _describe_horizon(horizon: HorizonQuality) -> str:
    return (
        f"{horizon.n_followed:,} requests that a purchase followed within {horizon.days} days, "
        f"of {horizon.n_mature:,} that are that old, of {horizon.n_requests:,}"
    )


def _describe_immature(horizon: HorizonQuality, params: MonitoringParams) -> str:
    return (
        f"immature: {_describe_horizon(horizon)}; {horizon.n_users} users, "
        f"{params.minimum_users} are needed"
    )


def _drift_evidence(
    findings: Findings, kind: Kind, state: State, params: MonitoringParams
) -> Evidence | None:
    """Return the signal of this kind with the largest ratio of PSI and bound."""
    limit = psi_limit(kind, state, params)
    drifts = [drift for drift in findings.drifts if drift.kind == kind]
    if not drifts:
        return None
    finite = limit if math.isfinite(limit) else params.psi_alarm
    worst = max(drifts, key=lambda drift: drift.against(finite)[0] / drift.against(finite)[1])
    value, allowed = worst.against(limit)
    return Evidence(
        name=f"{kind}_drift",
        value=value,
        bound=allowed if math.isfinite(allowed) else None,
        holds=value <= allowed,
        note=f"PSI of {worst.signal}, in the window or its worst week; quality is {state}",
    )

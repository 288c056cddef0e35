"""The results of an observation: findings, metrics, a row per week, latency."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from pipeline.monitoring.context import Context, as_metrics, select_best_frequency
from pipeline.monitoring.drift import WHOLE_WINDOW, Drift, Kind
from pipeline.monitoring.evidence import Findings
from pipeline.monitoring.horizons import HorizonQuality
from pipeline.monitoring.observe import MonitoringInputs, Observation, measure_part
from pipeline.monitoring.operations import Operations, measure_releases, releases_as_metrics
from pipeline.monitoring.operations import as_metrics as operations_as_metrics
from pipeline.monitoring.quality import Quality
from pipeline.monitoring.slices import as_metrics as as_slice_metrics
from pipeline.monitoring.speed import Speed
from pipeline.monitoring.traffic import DAYS_PER_WEEK, Traffic
from pipeline.recommenders.base.recommender import SLOTS

COLUMNS = (
    "week", "start", "n", "recall", "low", "high", "ndcg", "hit_rate",
    "reference_recall", "reference_low", "reference_high",
    "input_psi", "output_psi", "label_psi",
)  # fmt: skip


def build_findings(
    observation: Observation,
    inputs: MonitoringInputs,
    speed: Speed | None,
    context: Context | None,
    operations: Operations | None = None,
) -> Findings:
    """Return the numbers that the verdict depends on."""
    replies = observation.replies
    metric = f"recall@{inputs.k}"
    return Findings(
        metric=metric,
        quality=observation.quality.get(metric),
        drifts=observation.drifts,
        unknown_item_fraction=unknown_items(observation.traffic, inputs),
        unknown_user_fraction=unknown_users(observation.traffic, inputs),
        volume_ratio=volume_ratio(observation.traffic, inputs),
        failed_fraction=replies.calls.n_failed_first / max(replies.calls.n, 1),
        unanswered_fraction=replies.unanswered_fraction,
        n_lost_events=replies.n_lost_events,
        p99_ms=None if speed is None else speed.p99_ms,
        p99_limit_ms=inputs.p99_limit_ms,
        frequency=select_best_frequency(context),
        horizons=observation.horizons,
        comparison=None if context is None else context.comparison,
        easy_quality=_easy_quality(observation, inputs, context),
        slices=() if context is None else context.slices,
        operations=operations,
        releases=measure_releases(observation, inputs),
    )


def _easy_quality(
    observation: Observation, inputs: MonitoringInputs, context: Context | None
) -> Quality | None:
    """Return quality without the hard weeks; None if every week is hard, or none is."""
    if context is None or context.comparison is None or not context.comparison.hard_weeks:
        return None
    easy = ~np.isin(observation.week, context.comparison.hard_weeks)
    return measure_part(observation, inputs, easy).get(f"recall@{inputs.k}")


def unknown_items(traffic: Traffic, inputs: MonitoringInputs) -> float:
    """Return the share of the window's lines with items that the model does not know."""
    index = inputs.vocabulary.encode_column(traffic.events["item_id"])
    return float((index == 0).mean()) if len(index) else 0.0


def unknown_users(traffic: Traffic, inputs: MonitoringInputs) -> float:
    """Return the share of requests of users without an event before the window."""
    events = inputs.tables.events
    earlier = events.loc[events["timestamp"] < traffic.start, "user_id"].unique()
    return float((~traffic.examples["user_id"].isin(earlier)).mean())


def volume_ratio(traffic: Traffic, inputs: MonitoringInputs) -> float:
    """Return baskets per day relative to the test window; NaN for a period of less than a day."""
    if traffic.until is not None and traffic.until - traffic.start < timedelta(days=1):
        return float("nan")
    expected = inputs.testing.n_requests / inputs.params.shop.test_days
    return float(traffic.n_baskets / traffic.n_days / expected)


def build_latency(observation: Observation, speed: Speed | None) -> dict[str, float | None]:
    """Return percentiles in ms by the service's clock and by the client's.

    The client's are those of the replay with all workers. None means beyond the histogram's last
    bound, or no requests.
    """
    latency = observation.replies.latency_ms
    values = latency[~np.isnan(latency)]
    p50, p99 = np.quantile(values, [0.5, 0.99]) if len(values) else (None, None)
    measured = {"client_p50_ms": p50, "client_p99_ms": p99}
    if speed is not None:
        measured |= {
            "p50_ms": speed.quantile_ms(0.5),
            "p99_ms": speed.p99_ms,
            "n_looks": speed.n_looks,
            "stolen_fraction": speed.stolen_fraction,
        }
    return {
        name: None if value is None or np.isinf(value) else float(value)
        for name, value in measured.items()
    }


def build_metrics(
    observation: Observation, findings: Findings, inputs: MonitoringInputs, context: Context | None
) -> dict[str, Any]:
    """Return the contents of reports/monitoring/metrics.json."""
    served = observation.replies.served
    shown = served.items > 0
    slot = {
        f"{name}_share": float((served.slots[shown] == code).mean()) if shown.any() else 0.0
        for code, name in enumerate(SLOTS)
    }
    n_known = max(len(inputs.vocabulary) - 1, 1)
    return {
        "n_requests": len(observation.traffic.examples),
        "n_baskets": observation.traffic.n_baskets,
        "n_events": len(observation.traffic.events),
        "n_users": int(observation.traffic.examples["user_id"].nunique()),
        "quality": {
            name: {"value": q.value, "low": q.low, "high": q.high, "reference": q.reference}
            for name, q in observation.quality.items()
        },
        "horizons": {
            str(horizon.days): _as_json(horizon, findings.metric)
            for horizon in observation.horizons
        },
        "context": {} if context is None else as_metrics(context, findings.metric),
        "slices": as_slice_metrics(findings.slices),
        f"coverage@{inputs.k}": len(np.unique(served.items[shown])) / n_known,
        f"reference_coverage@{inputs.k}": inputs.testing.coverage,
        **slot,
        "psi": {drift.signal: drift.psi for drift in observation.drifts},
        "worst_psi": {drift.signal: drift.worst for drift in observation.drifts},
        "unknown_item_fraction": findings.unknown_item_fraction,
        "unknown_user_fraction": findings.unknown_user_fraction,
        "volume_ratio": None if np.isnan(findings.volume_ratio) else findings.volume_ratio,
        "failed_requests": observation.replies.n_failed,
        "failed_first_attempts": observation.replies.calls.n_failed_first,
        "failed_attempts": observation.replies.calls.n_failed_attempts,
        "lost_events": observation.replies.n_lost_events,
        "releases": releases_as_metrics(findings.releases, findings.metric),
        "operations": None
        if findings.operations is None
        else operations_as_metrics(findings.operations),
    }


def _as_json(horizon: HorizonQuality, metric: str) -> dict[str, Any]:
    counts = {
        "n_requests": horizon.n_requests,
        "n_mature": horizon.n_mature,
        "n_followed": horizon.n_followed,
    }
    quality = horizon.quality.get(metric)
    if quality is None:
        return counts
    return counts | {metric: {"value": quality.value, "low": quality.low, "high": quality.high}}


def build_weeks(observation: Observation, inputs: MonitoringInputs) -> pd.DataFrame:
    """Return one row of COLUMNS per week."""
    first = observation.traffic.start.astimezone(ZoneInfo(inputs.params.shop.timezone)).date()
    interval = inputs.testing.quality.interval[f"recall@{inputs.k}"]
    rows = []
    for week, quality in enumerate(observation.weekly):
        recall = quality.get(f"recall@{inputs.k}")
        rows.append(
            [
                week + 1,
                f"{first + timedelta(days=DAYS_PER_WEEK * week):%Y-%m-%d}",
                int((observation.week == week).sum()),
                *([None] * 3 if recall is None else [recall.value, recall.low, recall.high]),
                _value(quality.get(f"ndcg@{inputs.k}")),
                _value(quality.get(f"hit_rate@{inputs.k}")),
                inputs.testing.quality.mean(f"recall@{inputs.k}"),
                *interval,
                *(
                    _largest(observation.drifts, kind, week)
                    for kind in ("input", "output", "label")
                ),
            ]
        )
    return pd.DataFrame(rows, columns=list(COLUMNS)).round(6)


def _value(quality: Quality | None) -> float | None:
    return None if quality is None else quality.value


def _largest(drifts: tuple[Drift, ...], kind: Kind, week: int) -> float | None:
    chosen = (d for d in drifts if d.kind == kind and d.signal not in WHOLE_WINDOW)
    values = [drift.weekly[week] for drift in chosen]
    measured = [value for value in values if not np.isnan(value)]
    return max(measured) if measured else None

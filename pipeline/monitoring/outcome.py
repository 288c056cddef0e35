"""What is written down of an observation: metrics, a row per week, latency, findings."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from pipeline.monitoring.context import Context, as_metrics, best_frequency
from pipeline.monitoring.drift import WHOLE_WINDOW, Drift, Kind
from pipeline.monitoring.evidence import Findings
from pipeline.monitoring.observe import Known, Observation
from pipeline.monitoring.quality import Quality
from pipeline.monitoring.speed import Speed
from pipeline.monitoring.traffic import DAYS_PER_WEEK, Traffic
from pipeline.recommenders.base.recommender import SLOTS

COLUMNS = (
    "week", "start", "n", "recall", "low", "high", "ndcg", "hit_rate",
    "reference_recall", "reference_low", "reference_high",
    "input_psi", "output_psi", "label_psi",
)  # fmt: skip


def findings_of(
    seen: Observation, known: Known, speed: Speed | None, context: Context | None
) -> Findings:
    """Return what the verdict rests on."""
    replies = seen.replies
    metric = f"recall@{known.k}"
    return Findings(
        metric=metric,
        quality=seen.quality.get(metric),
        drifts=seen.drifts,
        unknown_item_fraction=unknown_items(seen.traffic, known),
        unknown_user_fraction=unknown_users(seen.traffic, known),
        volume_ratio=volume_ratio(seen.traffic, known),
        failed_fraction=replies.calls.n_failed_first / max(replies.calls.n, 1),
        unanswered_fraction=float(replies.failed.mean()),
        n_lost_events=replies.n_lost_events,
        p99_ms=None if speed is None else speed.p99_ms,
        p99_limit_ms=known.p99_limit_ms,
        frequency=best_frequency(context),
    )


def unknown_items(traffic: Traffic, known: Known) -> float:
    """Return the share of the window's lines that are on items which the model does not know."""
    index = known.vocabulary.encode_column(traffic.events["item_id"])
    return float((index == 0).mean()) if len(index) else 0.0


def unknown_users(traffic: Traffic, known: Known) -> float:
    """Return the share of requests of shoppers without any event before the window."""
    events = known.tables.events
    earlier = events.loc[events["timestamp"] < traffic.start, "user_id"].unique()
    return float((~traffic.asking["user_id"].isin(earlier)).mean())


def volume_ratio(traffic: Traffic, known: Known) -> float:
    """Return baskets per day over those of the test window."""
    expected = known.testing["n_requests"] / known.params.shop.test_days
    return float(traffic.n_baskets / traffic.n_days / expected)


def latency_of(seen: Observation, speed: Speed | None) -> dict[str, float | None]:
    """Return percentiles in ms: by the service's clock, and as the client saw them.

    The client's are those of the replay with all workers at work; None is more than the service
    counts, or nothing to count.
    """
    values = seen.replies.latency_ms[~seen.replies.failed]
    p50, p99 = np.quantile(values, [0.5, 0.99]) if len(values) else (None, None)
    found = {"client_p50_ms": p50, "client_p99_ms": p99}
    if speed is not None:
        found |= {
            "p50_ms": speed.quantile_ms(0.5),
            "p99_ms": speed.p99_ms,
            "n_looks": speed.n_looks,
            "stolen_fraction": speed.stolen_fraction,
        }
    return {
        name: None if value is None or np.isinf(value) else float(value)
        for name, value in found.items()
    }


def metrics_of(
    seen: Observation, found: Findings, known: Known, context: Context | None
) -> dict[str, Any]:
    """Return reports/monitoring/metrics.json."""
    served = seen.replies.served
    shown = served.items > 0
    slot = {
        f"{name}_share": float((served.slots[shown] == code).mean()) if shown.any() else 0.0
        for code, name in enumerate(SLOTS)
    }
    n_known = max(len(known.vocabulary) - 1, 1)
    return {
        "n_requests": len(seen.traffic.asking),
        "n_baskets": seen.traffic.n_baskets,
        "n_events": len(seen.traffic.events),
        "n_users": int(seen.traffic.asking["user_id"].nunique()),
        "quality": {
            name: {"value": q.value, "low": q.low, "high": q.high, "reference": q.reference}
            for name, q in seen.quality.items()
        },
        "context": {} if context is None else as_metrics(context, found.metric),
        f"coverage@{known.k}": len(np.unique(served.items[shown])) / n_known,
        f"reference_coverage@{known.k}": known.testing.get(f"coverage@{known.k}"),
        **slot,
        "psi": {each.signal: each.psi for each in seen.drifts},
        "worst_psi": {each.signal: each.worst for each in seen.drifts},
        "unknown_item_fraction": found.unknown_item_fraction,
        "unknown_user_fraction": found.unknown_user_fraction,
        "volume_ratio": found.volume_ratio,
        "failed_requests": int(seen.replies.failed.sum()),
        "failed_first_attempts": seen.replies.calls.n_failed_first,
        "failed_attempts": seen.replies.calls.n_failed_attempts,
        "lost_events": seen.replies.n_lost_events,
    }


def weeks_of(seen: Observation, known: Known) -> pd.DataFrame:
    """Return a row of COLUMNS per week."""
    first = seen.traffic.start.astimezone(ZoneInfo(known.params.shop.timezone)).date()
    interval = known.testing["quality"]["interval"][f"recall@{known.k}"]
    rows = []
    for week, found in enumerate(seen.weekly):
        recall = found.get(f"recall@{known.k}")
        rows.append(
            [
                week + 1,
                f"{first + timedelta(days=DAYS_PER_WEEK * week):%Y-%m-%d}",
                int((seen.week == week).sum()),
                *([None] * 3 if recall is None else [recall.value, recall.low, recall.high]),
                _value(found.get(f"ndcg@{known.k}")),
                _value(found.get(f"hit_rate@{known.k}")),
                known.testing["quality"][f"recall@{known.k}"],
                *interval,
                *(_largest(seen.drifts, kind, week) for kind in ("input", "output", "label")),
            ]
        )
    return pd.DataFrame(rows, columns=list(COLUMNS)).round(6)


def _value(quality: Quality | None) -> float | None:
    return None if quality is None else quality.value


def _largest(drifts: tuple[Drift, ...], kind: Kind, week: int) -> float | None:
    chosen = (each for each in drifts if each.kind == kind and each.signal not in WHOLE_WINDOW)
    found = [each.weekly[week] for each in chosen]
    known = [value for value in found if not np.isnan(value)]
    return max(known) if known else None

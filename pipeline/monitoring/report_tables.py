"""The tables of the monitoring page."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.contracts.params import MonitoringParams
from pipeline.monitoring.context import Context
from pipeline.monitoring.diagnosis.diagnose import Diagnosis
from pipeline.monitoring.drift import Drift
from pipeline.monitoring.methods import CHAMPION, CONTEXTUAL, DECAYED, SERVED
from pipeline.monitoring.slices import SliceQuality

N_SLICES = 12  # rows of the table of slices
WORDS = {
    "hour": "hour of the day",
    "weekday": "day of the week",
    "days_since_last": "days since the last basket",
    "recent_lines": "lines in the last 28 days",
    "recent_baskets": "baskets in the last 28 days",
    "recent_price": "mean price in the last 28 days",
    "top_share": "how much of the list's weight is on the first item",
    "score_spread": "spread of the scores",
    "repeat_share": "share of items bought before",
    "mean_popularity": "mean popularity shown",
    "n_labels": "items in the basket",
    "repeat_label_share": "share of the basket bought before",
}
METHOD_WORDS = {
    SERVED: "the endpoint, as served",
    CHAMPION: "the champion",
    DECAYED: "decayed frequency",
    CONTEXTUAL: "contextual frequency",
}
KIND_WORDS = {"input": "request", "output": "answer", "label": "purchase"}


def build_quality_table(weeks: pd.DataFrame, context: Context | None) -> pd.DataFrame:
    """Return a row per week, beside the live frequency baseline where it was measured."""
    intervals = [
        "–" if np.isnan(low) else f"{low:.4f} to {high:.4f}"
        for low, high in weeks[["low", "high"]].to_numpy(dtype=float)
    ]
    table = pd.DataFrame(
        {
            "week from": weeks["start"],
            "requests": weeks["n"],
            "recall": weeks["recall"],
            "interval": intervals,
            "NDCG": weeks["ndcg"],
            "hit rate": weeks["hit_rate"],
        }
    )
    if context is None or context.comparison is None:
        return table
    compared = {week.week + 1: week for week in context.comparison.weeks}
    lost = {
        number: "{:+.4f} [{:+.4f}, {:+.4f}]".format(*week.own_loss)
        for number, week in compared.items()
    }
    table["lost more than frequency"] = weeks["week"].map(lost).fillna("–")
    hard = {number: "hard" for number, week in compared.items() if week.is_hard}
    table["hard"] = weeks["week"].map(hard).fillna("")
    return table


def describe_context(context: Context | None) -> str:
    """Return what was known at request time, in words."""
    facts = "the moment of the trip: hour and weekday"
    if context is not None:
        facts += f"; the store, for {context.store_fraction:.0%} of the requests"
        facts += f"; part of the basket in the cart, for {context.cart_fraction:.0%}"
    return (
        f"Known at request time: all purchases before it; {facts}. A week is hard if quality is "
        "below its bound and the live frequency baseline lost as much on the same requests."
    )


def build_context_table(context: Context) -> pd.DataFrame:
    """Return a row per way to answer the same requests."""
    return pd.DataFrame(
        [
            {
                "answered by": METHOD_WORDS[way.method],
                "time and store": "known" if way.is_context_known else "unknown",
                "recall": way.value,
                "interval": f"{way.low:.4f} to {way.high:.4f}",
                "served minus this": "–"
                if way.method == SERVED
                else f"{way.lead['difference']:+.4f} "
                f"[{way.lead['low']:+.4f}, {way.lead['high']:+.4f}]",
            }
            for way in context.alternatives
        ]
    )


def build_slice_table(slices: Sequence[SliceQuality]) -> pd.DataFrame:
    """Return the slices with the smallest lead, those that are behind first."""
    worst = sorted(slices, key=lambda part: (not part.is_behind, part.lead))[:N_SLICES]
    return pd.DataFrame(
        [
            {
                "slice": f"{part.key.dimension}: {part.key.value}",
                "requests": part.n_requests,
                "recall": part.value,
                "interval": "{:.4f} to {:.4f}".format(*part.interval),
                "frequency": part.baseline,
                "p": max(part.p_values),
                "state": "! behind" if part.is_behind else "✓",
            }
            for part in worst
        ]
    )


def build_drift_table(drifts: tuple[Drift, ...], params: MonitoringParams) -> pd.DataFrame:
    """Return a row per signal."""
    return pd.DataFrame(
        [
            {
                "signal": WORDS[drift.signal],
                "of the": KIND_WORDS[drift.kind],
                "PSI": drift.psi,
                "worst week": drift.worst,
                "within testing": drift.natural,
                "by chance": drift.chance,
                "state": _state(drift, params),
            }
            for drift in drifts
        ]
    )


def build_causes_table(diagnosis: Diagnosis) -> pd.DataFrame:
    """Return a row per cause of the catalogue."""
    after = {cause.measured.cause.name: cause.value_after for cause in diagnosis.causes}
    return pd.DataFrame(
        [
            {
                "cause": item.cause.name.replace("_", " "),
                "statistic": item.cause.statistic,
                "value": item.value,
                "limit": item.bound,
                "after undoing": after.get(item.cause.name),
                "state": "✗ beyond" if item.excess else "✓ natural",
            }
            for item in diagnosis.measured
        ]
    )


def _state(drift: Drift, params: MonitoringParams) -> str:
    if drift.is_beyond(params.psi_broken):
        return "✗ broken"
    if drift.is_beyond(params.psi_alarm):
        return "✗ alarm"
    return "! warning" if drift.is_beyond(params.psi_warning) else "✓ stable"


def list_facts(metrics: dict[str, Any], k: int, n_reference: int) -> dict[str, object]:
    """Return the counts of the traffic, by their names in words."""
    return {
        "requests": metrics["n_requests"],
        "shoppers": metrics["n_users"],
        "events": metrics["n_events"],
        "baskets per day, against the test window": "not known yet"
        if metrics["volume_ratio"] is None
        else metrics["volume_ratio"],
        f"coverage@{k} of the catalogue": metrics[f"coverage@{k}"],
        f"coverage@{k} in testing, of {n_reference:,} requests": metrics[f"reference_coverage@{k}"],
        "share of items bought before": metrics["repeat_share"],
        "share of popular items that fill a list": metrics["popular_share"],
        "share of lines with unknown items": metrics["unknown_item_fraction"],
        "share of requests of unknown shoppers": metrics["unknown_user_fraction"],
        "calls whose first attempt failed": metrics["failed_first_attempts"],
        "failed attempts": metrics["failed_attempts"],
        "requests without an answer": metrics["failed_requests"],
        "rejected events": metrics["lost_events"],
    }

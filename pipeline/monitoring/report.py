"""The monitoring page: whether the model is still good, and if not, why."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.params import MonitoringParams
from pipeline.monitoring.context import Context
from pipeline.monitoring.diagnosis.diagnose import Diagnosis
from pipeline.monitoring.diagnosis.results import write_proposals
from pipeline.monitoring.drift import Drift
from pipeline.monitoring.judge import MonitoringResult
from pipeline.monitoring.methods import CHAMPION, CONTEXTUAL, DECAYED, SERVED
from pipeline.monitoring.observe import MonitoringInputs, Observation
from pipeline.monitoring.slices import SliceQuality
from pipeline.presentation.pages import Page, new_figure

LATENCY = "latency.json"
N_SLICES = 12  # rows of the table of slices
LEAF, GREY, WARN, BAD = "#1d7a4c", "#8a968f", "#a15c00", "#b3261e"
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


def write_results(result: MonitoringResult, inputs: MonitoringInputs, folder: Path) -> None:
    """Write metrics.json, weeks.csv, latency.json and index.html to a folder."""
    artefacts.write_json(result.metrics, folder / artefacts.MONITORING_METRICS.path.name)
    weeks = result.weeks.to_csv(index=False)
    artefacts.write_text(weeks, folder / artefacts.MONITORING_WEEKS.path.name)
    artefacts.write_json(result.latency, folder / LATENCY)
    write_proposals(result.diagnosis)
    build_page(result, inputs).write(folder / artefacts.page("monitoring").path.name)


def build_page(result: MonitoringResult, inputs: MonitoringInputs) -> Page:
    """Return the page."""
    view = Page(
        "Monitoring",
        "Is the deployed model as good as it was in testing, and if not, which phase caused it?",
    )
    view.verdict(result.verdict)
    if result.observation is None:
        return view
    k = inputs.k
    view.figure(
        "Quality by week",
        _quality_figure(result.weeks, inputs),
        f"recall@{k} of the served lists, measured by later purchases, with "
        f"{inputs.params.monitoring.confidence:.0%} intervals by bootstrap over shoppers. The band "
        "is the test estimate, the dashed line the allowed loss. Quality counts as lost if the "
        "whole window lies below that line by more than the errors of both estimates together.",
    )
    view.table(
        "Quality by week, in numbers",
        _quality_table(result.weeks, result.context),
        _describe_context(result.context),
    )
    if result.context is not None:
        view.table(
            "The same requests, answered otherwise",
            _context_table(result.context),
            f"recall@{k} of {result.context.n_sampled:,} evenly drawn requests. The served answers "
            "used the time and store of the trip; a letter that is sent earlier cannot. The "
            "frequency baselines count the shopper's purchases up to the request, and fill the "
            "same slots.",
        )
    if result.context is not None and result.context.slices:
        view.table(
            "Slices beside the live frequency baseline",
            _slice_table(result.context.slices),
            "The slices with the smallest lead. A slice is behind if the served answers are worse "
            "in both halves of the period, by more than the allowed loss; p-values are corrected "
            "by Holm.",
        )
    view.table(
        "Drift",
        _drift_table(result.observation.drifts, inputs.params.monitoring),
        "Population stability index against bins that were frozen in testing. Its limit is the "
        "largest of the threshold, its value within the test window, and its value by chance for "
        "as many requests of as many shoppers.",
    )
    view.table(
        "Causes examined",
        _causes_table(result.diagnosis),
        "Each statistic is near 0 in a healthy window. Its limit is what the window before shows "
        "to be natural, or a floor. A cause beyond its limit is undone on a copy of the window.",
    )
    view.figure(
        "The signals that moved most",
        _signal_figure(result.observation, inputs),
        "Share of requests in each frozen bin: grey in testing, green in production.",
    )
    view.facts("The traffic", _facts(result.metrics, k, inputs.testing.n_requests))
    return view


def _quality_figure(weeks: pd.DataFrame, inputs: MonitoringInputs) -> Any:
    figure = new_figure()
    axes = figure.subplots()
    quality = inputs.testing.quality
    low, high = quality.interval[f"recall@{inputs.k}"]
    expected = quality.mean(f"recall@{inputs.k}")
    bound = (1 - inputs.params.monitoring.maximum_quality_loss_fraction) * expected
    axes.axhspan(low, high, color=GREY, alpha=0.25, label="test estimate")
    axes.axhline(expected, color=GREY)
    axes.axhline(bound, color=BAD, linestyle="--", linewidth=1, label="loss")
    measured_weeks = weeks.dropna(subset=["recall"])
    error = [
        measured_weeks["recall"] - measured_weeks["low"],
        measured_weeks["high"] - measured_weeks["recall"],
    ]
    axes.errorbar(
        measured_weeks["week"],
        measured_weeks["recall"],
        yerr=error,
        fmt="o-",
        color=LEAF,
        capsize=4,
        label="production",
    )
    labels = [f"week {row.week}\n{row.start}" for row in weeks.itertuples()]
    axes.set_xticks(weeks["week"], labels)
    axes.set_ylabel(f"recall@{inputs.k}")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#dde4df")
    axes.legend(loc="lower left", ncols=3, frameon=False)
    return figure


def _quality_table(weeks: pd.DataFrame, context: Context | None) -> pd.DataFrame:
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


def _describe_context(context: Context | None) -> str:
    facts = "the moment of the trip: hour and weekday"
    if context is not None:
        facts += f"; the store, for {context.store_fraction:.0%} of the requests"
        facts += f"; part of the basket in the cart, for {context.cart_fraction:.0%}"
    return (
        f"Known at request time: all purchases before it; {facts}. A week is hard if quality is "
        "below its bound and the live frequency baseline lost as much on the same requests."
    )


def _context_table(context: Context) -> pd.DataFrame:
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


def _slice_table(slices: Sequence[SliceQuality]) -> pd.DataFrame:
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


def _drift_table(drifts: tuple[Drift, ...], params: MonitoringParams) -> pd.DataFrame:
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


def _causes_table(diagnosis: Diagnosis) -> pd.DataFrame:
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


def _signal_figure(observation: Observation, inputs: MonitoringInputs) -> Any:
    moved = sorted(observation.drifts, key=lambda drift: -drift.worst)[:6]
    figure = new_figure(8.0, 4.6)
    axes = figure.subplots(2, 3).ravel()
    for axis, drift in zip(axes, moved, strict=False):
        bins = inputs.reference.bins[drift.signal]
        then = np.array(bins.shares)
        now = bins.compute_shares(observation.signals[drift.signal].to_numpy(dtype=float))
        at = np.arange(len(then))
        axis.bar(at - 0.2, then, width=0.4, color=GREY)
        axis.bar(at + 0.2, now, width=0.4, color=LEAF)
        axis.set_title(f"{WORDS[drift.signal]}\nPSI {drift.worst:.3f}", fontsize=9)
        names = [f"≤{edge:.3g}" for edge in bins.edges] + ["more", "none"]
        shown = at[:: max(len(at) // 4, 1)]
        axis.set_xticks(shown, [names[place] for place in shown], fontsize=7)
        axis.tick_params(axis="y", labelsize=7)
    for axis in axes[len(moved) :]:
        axis.set_visible(False)
    return figure


def _facts(metrics: dict[str, Any], k: int, n_reference: int) -> dict[str, object]:
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

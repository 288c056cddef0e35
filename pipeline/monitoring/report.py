"""The monitoring page: is the model still good, and if not, why."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.contracts.params import MonitoringParams
from pipeline.metrics.drift import bin_shares
from pipeline.monitoring.context import CHAMPION, CONTEXTUAL, DECAYED, SERVED, Context
from pipeline.monitoring.drift import Drift
from pipeline.monitoring.observe import Known, Observation
from pipeline.monitoring.watch import Watch
from pipeline.presentation.pages import Page, new_figure

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
    CONTEXTUAL: "frequency on trips like this one",
}
KIND_WORDS = {"input": "request", "output": "answer", "label": "purchase"}


def page(found: Watch, known: Known) -> Page:
    """Return the page."""
    made = Page(
        "Monitoring",
        "Is the deployed model as good as it was in testing, and if not, which phase caused it?",
    )
    made.verdict(found.verdict)
    if found.seen is None:
        return made
    k = known.k
    made.figure(
        "Quality by week",
        _quality_figure(found.weeks, known),
        f"recall@{k} of the lists that were served, once it was known what was bought, with "
        f"{known.params.monitoring.confidence:.0%} intervals by bootstrap over shoppers. The band "
        "is the test estimate, the dashed line what may be lost of it. A loss is called where the "
        "whole window lies below that line by more than the errors of both estimates together.",
    )
    made.table(
        "Quality by week, in numbers", _quality_table(found.weeks), _what_is_known(found.context)
    )
    if found.context is not None:
        made.table(
            "The same requests, answered otherwise",
            _context_table(found.context),
            f"recall@{k} of {found.context.n_asked:,} of the requests, evenly drawn. What was "
            "served knew when and where the trip would be; a letter that is sent before it does "
            "not. The frequency baselines count the shopper's purchases up to the request, and "
            "fill the same slots.",
        )
    made.table(
        "Drift",
        _drift_table(found.seen.drifts, known.params.monitoring),
        "Population stability index against bins that were frozen in testing. It may go as far as "
        "the threshold, as far as it went within the test window, and as far as chance takes as "
        "many requests of as many shoppers.",
    )
    made.figure(
        "The signals that moved most",
        _signal_figure(found.seen, known),
        "Share of requests in each frozen bin: grey in testing, green in production.",
    )
    made.facts("The traffic", _facts(found.metrics, k, int(known.testing["n_requests"])))
    return made


def _quality_figure(weeks: pd.DataFrame, known: Known) -> Any:
    figure = new_figure()
    axes = figure.subplots()
    quality = known.testing["quality"]
    low, high = quality["interval"][f"recall@{known.k}"]
    expected = quality[f"recall@{known.k}"]
    bound = (1 - known.params.monitoring.maximum_quality_loss_fraction) * expected
    axes.axhspan(low, high, color=GREY, alpha=0.25, label="test estimate")
    axes.axhline(expected, color=GREY)
    axes.axhline(bound, color=BAD, linestyle="--", linewidth=1, label="loss")
    there = weeks.dropna(subset=["recall"])
    error = [there["recall"] - there["low"], there["high"] - there["recall"]]
    axes.errorbar(
        there["week"],
        there["recall"],
        yerr=error,
        fmt="o-",
        color=LEAF,
        capsize=4,
        label="production",
    )
    labels = [f"week {row.week}\n{row.start}" for row in weeks.itertuples()]
    axes.set_xticks(weeks["week"], labels)
    axes.set_ylabel(f"recall@{known.k}")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#dde4df")
    axes.legend(loc="lower left", ncols=3, frameon=False)
    return figure


def _quality_table(weeks: pd.DataFrame) -> pd.DataFrame:
    intervals = [
        "–" if np.isnan(low) else f"{low:.4f} to {high:.4f}"
        for low, high in weeks[["low", "high"]].to_numpy(dtype=float)
    ]
    return pd.DataFrame(
        {
            "week from": weeks["start"],
            "requests": weeks["n"],
            "recall": weeks["recall"],
            "interval": intervals,
            "NDCG": weeks["ndcg"],
            "hit rate": weeks["hit_rate"],
        }
    )


def _what_is_known(context: Context | None) -> str:
    known = "the moment of the trip: hour and weekday"
    if context is not None:
        known += f"; the store, for {context.store_fraction:.0%} of the requests"
        known += f"; part of the basket in the cart, for {context.cart_fraction:.0%}"
    return f"Known at request time: all purchases before it; {known}."


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


def _drift_table(drifts: tuple[Drift, ...], params: MonitoringParams) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "signal": WORDS[each.signal],
                "of the": KIND_WORDS[each.kind],
                "PSI": each.psi,
                "worst week": each.worst,
                "within testing": each.natural,
                "by chance": each.chance,
                "state": _state(each, params),
            }
            for each in drifts
        ]
    )


def _state(drift: Drift, params: MonitoringParams) -> str:
    if drift.is_beyond(params.psi_broken):
        return "✗ beyond all people"
    if drift.is_beyond(params.psi_alarm):
        return "✗ alarm"
    return "! warning" if drift.is_beyond(params.psi_warning) else "✓ stable"


def _signal_figure(seen: Observation, known: Known) -> Any:
    moved = sorted(seen.drifts, key=lambda each: -each.worst)[:6]
    figure = new_figure(8.0, 4.6)
    axes = figure.subplots(2, 3).ravel()
    for axis, drift in zip(axes, moved, strict=False):
        bins = known.reference["bins"][drift.signal]
        edges, then = np.array(bins["edges"]), np.array(bins["shares"])
        now = bin_shares(seen.signals[drift.signal].to_numpy(dtype=float), edges)
        at = np.arange(len(then))
        axis.bar(at - 0.2, then, width=0.4, color=GREY)
        axis.bar(at + 0.2, now, width=0.4, color=LEAF)
        axis.set_title(f"{WORDS[drift.signal]}\nPSI {drift.worst:.3f}", fontsize=9)
        names = [f"≤{edge:.3g}" for edge in edges] + ["more", "none"]
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
        "baskets per day, against the test window": metrics["volume_ratio"],
        f"coverage@{k} of the catalogue": metrics[f"coverage@{k}"],
        f"coverage@{k} in testing, of {n_reference:,} requests": metrics[f"reference_coverage@{k}"],
        "share of items bought before": metrics["repeat_share"],
        "share of popular items, for want of others": metrics["popular_share"],
        "lines on unknown items": metrics["unknown_item_fraction"],
        "requests of unknown shoppers": metrics["unknown_user_fraction"],
        "calls whose first attempt failed": metrics["failed_first_attempts"],
        "failed attempts in all": metrics["failed_attempts"],
        "requests without an answer": metrics["failed_requests"],
        "events not taken": metrics["lost_events"],
    }

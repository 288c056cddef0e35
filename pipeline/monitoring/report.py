"""The monitoring page: whether the model is still good, and if not, why."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.contracts import artefacts
from pipeline.monitoring.diagnosis.results import write_proposals
from pipeline.monitoring.judge import MonitoringResult
from pipeline.monitoring.observe import MonitoringInputs, Observation
from pipeline.monitoring.report_tables import (
    WORDS,
    build_causes_table,
    build_context_table,
    build_drift_table,
    build_quality_table,
    build_slice_table,
    describe_context,
    list_facts,
)
from pipeline.presentation.pages import Page, new_figure

LATENCY = "latency.json"
LEAF, GREY, WARN, BAD = "#1d7a4c", "#8a968f", "#a15c00", "#b3261e"


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
        build_quality_table(result.weeks, result.context),
        describe_context(result.context),
    )
    if result.context is not None:
        view.table(
            "The same requests, answered otherwise",
            build_context_table(result.context),
            f"recall@{k} of {result.context.n_sampled:,} evenly drawn requests. The served answers "
            "used the time and store of the trip; a letter that is sent earlier cannot. The "
            "frequency baselines count the shopper's purchases up to the request, and fill the "
            "same slots.",
        )
    if result.context is not None and result.context.slices:
        view.table(
            "Slices beside the live frequency baseline",
            build_slice_table(result.context.slices),
            "The slices with the smallest lead. A slice is behind if the served answers are worse "
            "in both halves of the period, by more than the allowed loss; p-values are corrected "
            "by Holm.",
        )
    view.table(
        "Drift",
        build_drift_table(result.observation.drifts, inputs.params.monitoring),
        "Population stability index against bins that were frozen in testing. Its limit is the "
        "largest of the threshold, its value within the test window, and its value by chance for "
        "as many requests of as many shoppers.",
    )
    view.table(
        "Causes examined",
        build_causes_table(result.diagnosis),
        "Each statistic is near 0 in a healthy window. Its limit is what the window before shows "
        "to be natural, or a floor. A cause beyond its limit is undone on a copy of the window.",
    )
    view.figure(
        "The signals that moved most",
        _signal_figure(result.observation, inputs),
        "Share of requests in each frozen bin: grey in testing, green in production.",
    )
    view.facts("The traffic", list_facts(result.metrics, k, inputs.testing.n_requests))
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

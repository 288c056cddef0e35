"""The section of the testing page with the diagnosis of the fit."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.contracts.family_metrics import DataShare
from pipeline.presentation.pages import Page, new_figure
from pipeline.testing.diagnosis.fit_quality import GeneralizationGap
from pipeline.testing.diagnosis.label_noise import MINIMUM_GROUP, ScoredCandidates
from pipeline.testing.examine import Examination

GREEN, GREY, ORANGE = "#1d7a4c", "#8a968f", "#a15c00"
N_FEATURES, N_DECILES = 12, 10
WORDS = {
    "leak": "Leak",
    "units": "Dead or exploding units",
    "overfit": "Overfit",
    "underfit": "Underfit",
    "label_noise": "Label noise",
    "too_little_data": "Too little data",
}


def add_diagnosis(page: Page, examination: Examination) -> None:
    """Add the findings, their evidence and plots to the page."""
    page.table(
        "Diagnosis of the fit",
        build_findings_table(examination),
        "Diagnosis of the deep candidate, whichever method won, in the order of treatment. A "
        "suspected failure returns only if quality misses its bound; a leak always does.",
    )
    page.table("Evidence of the diagnosis", build_evidence_table(examination))
    page.figure("Data of the diagnosis", draw_diagnosis(examination), _caption(examination))
    if len(examination.noise):
        page.table(
            "Where labels contradict the model",
            examination.noise.rename(columns={"noise_fraction": "errors, at most"}),
            "Upper estimate of the share of erroneous labels in the test window, by department and "
            f"length of the history, for groups with {MINIMUM_GROUP} labels or more. It includes "
            "rare real purchases. suspicious_labels.csv lists the labels of training and "
            "validation to review first.",
        )


def build_findings_table(examination: Examination) -> pd.DataFrame:
    """Return one row per failure mode."""
    return pd.DataFrame(
        [
            {
                "what": WORDS[finding.name],
                "verdict": finding.verdict,
                "why": finding.cause,
                "back to": finding.target_phase or "–",
                "action": finding.action or "–",
            }
            for finding in examination.findings
        ]
    )


def build_evidence_table(examination: Examination) -> pd.DataFrame:
    """Return one row per number and bound."""
    return pd.DataFrame(
        [
            {
                "what": WORDS[finding.name],
                "number": item.name,
                "value": item.value,
                "bound": item.bound,
                "holds": item.holds,
                "": item.note,
            }
            for finding in examination.findings
            for item in finding.evidence
        ]
    )


def draw_diagnosis(examination: Examination) -> Any:
    """Return four plots: lead on training requests, data, labels and single features."""
    figure = new_figure(9, 6)
    axes = figure.subplots(2, 2)
    inputs = examination.inputs
    _plot_lead(axes[0, 0], inputs.gap)
    _plot_data(axes[0, 1], inputs.probe.learning_curve)
    _plot_labels(axes[1, 0], inputs.scored)
    _plot_features(axes[1, 1], inputs.probe.feature_auc)
    return figure


def _plot_lead(axis: Any, gap: GeneralizationGap | None) -> None:
    axis.set_title("Overfit: training and unseen requests")
    if gap is None:
        return
    sides = {"training requests": gap.train, "unseen requests": gap.unseen}
    place = np.arange(len(sides))
    model = [side.model.mean() for side in sides.values()]
    baseline = [side.baseline.mean() for side in sides.values()]
    axis.bar(place - 0.2, baseline, 0.38, color=GREY, label="best baseline")
    axis.bar(place + 0.2, model, 0.38, color=GREEN, label="model")
    axis.set_xticks(place, list(sides))
    axis.set_ylabel("NDCG@10")
    axis.set_ylim(0, 1.35 * max(*model, *baseline))
    axis.legend(frameon=False, ncols=2, fontsize=8)


def _plot_data(axis: Any, points: Sequence[DataShare]) -> None:
    axis.set_title("Too little data: by share of shoppers")
    axis.set(xlabel="share of the shoppers learned from", ylabel="NDCG@10 of repeat candidates")
    shares = [point.fraction for point in points]
    axis.plot(shares, [point.score for point in points], color=GREEN, marker="o")
    if points:
        axis.set_xscale("log", base=2)
        axis.set_xticks(shares, [f"{share:.0%}" for share in shares])


def _plot_labels(axis: Any, scored: ScoredCandidates | None) -> None:
    axis.set_title("Label noise: labels by the model's order")
    axis.set(xlabel="tenth of the candidates, most likely first", ylabel="share of labels")
    if scored is None or not scored.wanted.any():
        return
    observed, expected = count_labels_by_tenth(scored)
    place = np.arange(1, N_DECILES + 1)
    axis.bar(place, observed, color=GREEN, label="found")
    axis.plot(place, expected, color=ORANGE, marker=".", label="expected by the model")
    axis.set_yscale("log")
    axis.set_xticks(place)
    axis.legend(frameon=False, fontsize=8)


def count_labels_by_tenth(
    scored: ScoredCandidates,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the share of labels in each tenth of the candidates, found and expected."""
    order = np.lexsort((scored.item, -scored.probability, scored.row))
    first = np.searchsorted(scored.row, np.arange(scored.n))
    size = np.bincount(scored.row, minlength=scored.n)
    row = scored.row[order]
    tenth = (np.arange(len(order)) - first[row]) * N_DECILES // size[row]
    n_labels = scored.per_request(scored.wanted)[row]
    observed = np.bincount(tenth, weights=scored.wanted[order], minlength=N_DECILES)
    expected = np.bincount(tenth, weights=scored.probability[order] * n_labels, minlength=N_DECILES)
    return observed / observed.sum(), expected / expected.sum()


def _plot_features(axis: Any, aucs: Mapping[str, float]) -> None:
    axis.set_title(f"Leak: the {N_FEATURES} strongest features, each alone")
    best = sorted(aucs, key=lambda name: (-aucs[name], name))[:N_FEATURES][::-1]
    axis.barh(np.arange(len(best)), [aucs[name] for name in best], color=GREY)
    axis.set_yticks(np.arange(len(best)), best, fontsize=8)
    axis.set_xlim(0.5, 1.0)
    axis.set_xlabel("area under the curve, within requests")


def _caption(examination: Examination) -> str:
    n = 0 if examination.inputs.scored is None else examination.inputs.scored.n
    return (
        "Training requests: the last training window, without carts. Shares of shoppers: refitted "
        "networks, on validation. Labels: on repeat candidates, in "
        f"{n:,} requests of the test window; errors are uniform over the tenths. Features: "
        "each alone, on validation; 0.5 is chance."
    )

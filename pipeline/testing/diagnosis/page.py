"""The part of the testing page that says what is wrong with the fit, or that nothing is."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.presentation.pages import Page, new_figure
from pipeline.testing.diagnosis.fit_quality import GeneralizationGap
from pipeline.testing.diagnosis.label_noise import MINIMUM_GROUP, Judged
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


def add(page: Page, examination: Examination) -> None:
    """Add the findings, their evidence and what they look like to the page."""
    page.table(
        "Diagnosis of the fit",
        findings_table(examination),
        "Of the deep candidate, whichever method won. In the order in which one would treat them; "
        "a suspicion goes back only when quality misses its bound, a leak always.",
    )
    page.table("Evidence of the diagnosis", evidence_table(examination))
    page.figure("What the diagnosis looked at", figure_of(examination), _caption(examination))
    if len(examination.noise):
        page.table(
            "Where labels contradict the model",
            examination.noise.rename(columns={"noise_fraction": "errors, at most"}),
            "Share of labels of the test window that behave like errors, by department and length "
            f"of the history, of groups with {MINIMUM_GROUP} labels or more; rare real purchases "
            "count too. The labels to review first, of training and validation, are in "
            "suspicious_labels.csv.",
        )


def findings_table(examination: Examination) -> pd.DataFrame:
    """Return one row per disease."""
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


def evidence_table(examination: Examination) -> pd.DataFrame:
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


def figure_of(examination: Examination) -> Any:
    """Return four small plots: lead where it learned, data, labels and single features."""
    figure = new_figure(9, 6)
    axes = figure.subplots(2, 2)
    inputs = examination.inputs
    _plot_lead(axes[0, 0], inputs.seen)
    _plot_data(axes[0, 1], inputs.probe.get("learning_curve", []))
    _plot_labels(axes[1, 0], inputs.judged)
    _plot_features(axes[1, 1], inputs.probe.get("feature_auc", {}))
    return figure


def _plot_lead(axis: Any, seen: GeneralizationGap | None) -> None:
    axis.set_title("Overfit: where it learned, and unseen")
    if seen is None:
        return
    sides = {"training requests": seen.train, "unseen requests": seen.unseen}
    place = np.arange(len(sides))
    model = [side.model.mean() for side in sides.values()]
    counting = [side.counting.mean() for side in sides.values()]
    axis.bar(place - 0.2, counting, 0.38, color=GREY, label="best counting method")
    axis.bar(place + 0.2, model, 0.38, color=GREEN, label="model")
    axis.set_xticks(place, list(sides))
    axis.set_ylabel("NDCG@10")
    axis.set_ylim(0, 1.35 * max(*model, *counting))
    axis.legend(frameon=False, ncols=2, fontsize=8)


def _plot_data(axis: Any, points: list[dict[str, float]]) -> None:
    axis.set_title("Too little data: by share of shoppers")
    axis.set(xlabel="share of the shoppers learned from", ylabel="NDCG@10 of own items")
    shares = [point["fraction"] for point in points]
    axis.plot(shares, [point["score"] for point in points], color=GREEN, marker="o")
    if points:
        axis.set_xscale("log", base=2)
        axis.set_xticks(shares, [f"{share:.0%}" for share in shares])


def _plot_labels(axis: Any, judged: Judged | None) -> None:
    axis.set_title("Label noise: labels by the model's order")
    axis.set(xlabel="tenth of the candidates, most likely first", ylabel="share of labels")
    if judged is None or not judged.wanted.any():
        return
    found, expected = labels_by_tenth(judged)
    place = np.arange(1, N_DECILES + 1)
    axis.bar(place, found, color=GREEN, label="found")
    axis.plot(place, expected, color=ORANGE, marker=".", label="expected by the model")
    axis.set_yscale("log")
    axis.set_xticks(place)
    axis.legend(frameon=False, fontsize=8)


def labels_by_tenth(judged: Judged) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the share of labels in each tenth of the candidates, found and expected."""
    order = np.lexsort((judged.item, -judged.probability, judged.row))
    first = np.searchsorted(judged.row, np.arange(judged.n))
    size = np.bincount(judged.row, minlength=judged.n)
    row = judged.row[order]
    tenth = (np.arange(len(order)) - first[row]) * N_DECILES // size[row]
    n_labels = judged.per_request(judged.wanted)[row]
    found = np.bincount(tenth, weights=judged.wanted[order], minlength=N_DECILES)
    expected = np.bincount(tenth, weights=judged.probability[order] * n_labels, minlength=N_DECILES)
    return found / found.sum(), expected / expected.sum()


def _plot_features(axis: Any, aucs: dict[str, float]) -> None:
    axis.set_title(f"Leak: the {N_FEATURES} strongest features, each alone")
    best = sorted(aucs, key=lambda name: (-aucs[name], name))[:N_FEATURES][::-1]
    axis.barh(np.arange(len(best)), [aucs[name] for name in best], color=GREY)
    axis.set_yticks(np.arange(len(best)), best, fontsize=8)
    axis.set_xlim(0.5, 1.0)
    axis.set_xlabel("area under the curve, within requests")


def _caption(examination: Examination) -> str:
    n = 0 if examination.inputs.judged is None else examination.inputs.judged.n
    return (
        "Training requests: the last training window, without a cart. Shares of shoppers: networks "
        "fitted anew, on validation. Labels: on products bought before, in "
        f"{n:,} requests of the test window; errors would lie evenly over the tenths. Features: "
        "alone, on validation; 0.5 is chance."
    )

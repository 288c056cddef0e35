"""Verdict and page of the training stage."""

from typing import Any

import pandas as pd

from pipeline.contracts.family_metrics import TrainingReport
from pipeline.contracts.params import FamiliesParams
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.presentation.pages import Page, new_figure
from pipeline.recommenders.names import BASELINES

EXPLORE_SCORE = "recall@10 of new products"


def build_verdict(report: TrainingReport, params: FamiliesParams) -> Verdict:
    """Return the verdict of the training phase.

    Args:
        report: The fit of the best family, and the quality of every candidate.
        params: Maximum epochs of each part.
    """
    family, validation = report.family, report.validation
    value = validation[family]["ndcg@10"]
    best = max(BASELINES, key=lambda name: validation[name]["ndcg@10"])
    bound = validation[best]["ndcg@10"]
    part = "network" if "network" in report.epochs else family
    epochs = report.epochs[part]
    allowed = params.of(family).epochs
    evidence = (
        Evidence(
            name="validation_ndcg@10",
            value=value,
            bound=bound,
            holds=value > bound,
            gates=False,  # testing decides and may choose a baseline
            note=f"of the family {family}, against the best baseline, {best}",
        ),
        Evidence(
            name="epochs",
            value=epochs,
            bound=allowed,
            holds=True,
            note=f"{part}: the last epoch is the best; more may help" if epochs == allowed else "",
        ),
    )
    cause = (
        f"The family {family} reaches NDCG@10 {value:.4f} on validation, {best} {bound:.4f}"
        if evidence[0].holds
        else f"The baseline {best} ({bound:.4f}) is ahead of every family ({family}: {value:.4f})"
    )
    return Verdict(phase="training", status="proceed", cause=cause, evidence=evidence)


def build_page(report: TrainingReport, curve: pd.DataFrame, conclusion: Verdict) -> Page:
    """Return the training page."""
    page = Page("Training", "Fitted families, their learning curves, and validation metrics.")
    page.verdict(conclusion)
    table = pd.DataFrame(report.validation).T.rename_axis("candidate").reset_index()
    table = table.sort_values("ndcg@10", ascending=False)
    page.table(
        "Candidates on validation",
        table,
        "Rolling protocol: every basket of the validation window. Item state at its first day.",
    )
    rows = curve[curve["family"] == report.family]
    page.figure(
        f"Learning curves of {report.family}",
        draw_curves(rows),
        "Grey: training loss. Green: validation score. The epoch with the best score is kept.",
    )
    kept = {f"epochs kept, {part}": epochs for part, epochs in report.epochs.items()}
    page.facts("Numbers", {"training examples": report.n_examples} | kept)
    return page


def draw_curves(curve: pd.DataFrame) -> Any:
    """Return loss and validation score over the epochs, one plot per part."""
    parts = list(curve["part"].unique())
    figure = new_figure(5 * len(parts), 3)
    figure.set_layout_engine("constrained", wspace=0.1)
    for axis, part in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        rows = curve[curve["part"] == part]
        axis.plot(rows["epoch"], rows["loss"], color="#5d6b63", marker="o", label="loss (left)")
        axis.set(title=part, xlabel="epoch", ylabel="training loss")
        axis.set_xticks(rows["epoch"])
        other = axis.twinx()
        other.plot(rows["epoch"], rows["validation"], color="#1d7a4c", marker="s")
        label = EXPLORE_SCORE if part == "explore" else "NDCG@10"
        other.set_ylabel(f"validation {label}", color="#1d7a4c")
    return figure

"""What the training stage says: metrics, curves, a page and a verdict."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.contracts.params import FamiliesParams
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.presentation.pages import Page, new_figure
from pipeline.recommenders.names import BASELINES

EXPLORE_SCORE = "recall@10 of new products"


def verdict(found: Mapping[str, Any], params: FamiliesParams) -> Verdict:
    """Return whether the chosen family learned something that is worth testing.

    Args:
        found: Contents of reports/training/metrics.json.
        params: How long each part may learn.
    """
    family, validation = found["family"], found["validation"]
    value = validation[family]["ndcg@10"]
    best = max(BASELINES, key=lambda name: validation[name]["ndcg@10"])
    bound = validation[best]["ndcg@10"]
    part = "network" if "network" in found["epochs"] else family
    epochs = found["epochs"][part]
    allowed = params.of(family).epochs
    evidence = (
        Evidence(
            name="validation_ndcg@10",
            value=value,
            bound=bound,
            holds=value > bound,
            gates=False,  # testing decides: there the best baseline may be chosen
            note=f"of the family {family}, against the best baseline, {best}",
        ),
        Evidence(
            name="epochs",
            value=epochs,
            bound=allowed,
            holds=True,
            note=f"{part}: the last one was the best: more may help" if epochs == allowed else "",
        ),
    )
    cause = (
        f"The family {family} reaches NDCG@10 {value:.4f} on validation, {best} {bound:.4f}"
        if evidence[0].holds
        else f"The baseline {best} ({bound:.4f}) is ahead of every family ({family}: {value:.4f})"
    )
    return Verdict(phase="training", status="proceed", cause=cause, evidence=evidence)


def page(found: Mapping[str, Any], curve: pd.DataFrame, conclusion: Verdict) -> Page:
    """Return the training page."""
    made = Page("Training", "What was fitted, how it learned, and where it stands on validation.")
    made.verdict(conclusion)
    table = pd.DataFrame(found["validation"]).T.rename_axis("candidate").reset_index()
    table = table.sort_values("ndcg@10", ascending=False)
    made.table(
        "Candidates on validation",
        table,
        "Rolling protocol: every basket of the validation window. Item state as of its first day.",
    )
    family = found["family"]
    rows = curve[curve["family"] == family]
    made.figure(
        f"Learning curves of {family}",
        curves_figure(rows),
        "Grey: training loss. Green: validation score; the epoch with the best one is kept.",
    )
    kept = {f"epochs kept, {part}": epochs for part, epochs in found["epochs"].items()}
    made.facts("Numbers", {"training examples": found["n_examples"]} | kept)
    return made


def curves_figure(curve: pd.DataFrame) -> Any:
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

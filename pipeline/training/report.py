"""What the training stage says: metrics, curves, a page and a verdict."""

from typing import Any

import pandas as pd

from pipeline.pages import Page, new_figure
from pipeline.params import TrainingParams
from pipeline.training.fit import Fitted
from pipeline.verdicts import Evidence, Verdict

RANKER = "ranker"


def metrics(
    own: Fitted, explore: Fitted, validation: dict[str, dict[str, float]], n_examples: int
) -> dict[str, Any]:
    """Return what goes into reports/training/metrics.json."""
    best = {"network": own, "explore": explore}
    return {
        "n_examples": n_examples,
        "epochs": {name: fit.epochs for name, fit in best.items()},
        "loss": {name: fit.curve[fit.epochs - 1]["loss"] for name, fit in best.items()},
        "explore_recall@10": explore.curve[explore.epochs - 1]["validation"],
        "validation": validation,
    }


def curves(own: Fitted, explore: Fitted) -> pd.DataFrame:
    """Return one row per part and epoch: part, epoch, loss, validation."""
    frames = [
        pd.DataFrame(fit.curve).assign(part=name)
        for name, fit in (("network", own), ("explore", explore))
    ]
    return pd.concat(frames)[["part", "epoch", "loss", "validation"]].round(8)


def verdict(found: dict[str, Any], own: Fitted, params: TrainingParams) -> Verdict:
    """Return whether the ranker learned something that is worth testing."""
    ranker = found["validation"][RANKER]["ndcg@10"]
    rivals = {name: v["ndcg@10"] for name, v in found["validation"].items() if name != RANKER}
    best = max(rivals, key=lambda name: rivals[name])
    first, kept = own.curve[0]["loss"], own.curve[own.epochs - 1]["loss"]
    still_rising = own.epochs == params.ranker.epochs and own.epochs > 1
    evidence = (
        Evidence(
            name="validation_ndcg@10",
            value=ranker,
            bound=rivals[best],
            holds=ranker > rivals[best],
            note=f"of the ranker, against the best baseline, {best}",
        ),
        Evidence(name="final_loss", value=kept, bound=first, holds=kept <= first, note="falls"),
        Evidence(
            name="epochs",
            value=own.epochs,
            bound=params.ranker.epochs,
            holds=True,
            note="the last one was the best: more may help" if still_rising else "",
        ),
    )
    won = evidence[0].holds
    cause = (
        f"The ranker reaches NDCG@10 {ranker:.4f} on validation, {best} {rivals[best]:.4f}"
        if won
        else f"The baseline {best} ({rivals[best]:.4f}) is ahead of the ranker ({ranker:.4f})"
    )
    return Verdict(phase="training", status="proceed", cause=cause, evidence=evidence)


def page(found: dict[str, Any], curve: pd.DataFrame, conclusion: Verdict) -> Page:
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
    figure = new_figure(8, 3)
    axes = figure.subplots(1, 2)
    for axis, part, label in zip(
        axes, ("network", "explore"), ("NDCG@10", "explore recall@10"), strict=True
    ):
        rows = curve[curve["part"] == part]
        axis.plot(rows["epoch"], rows["loss"], color="#5d6b63", marker="o", label="loss (left)")
        axis.set(title=part, xlabel="epoch", ylabel="training loss")
        axis.set_xticks(rows["epoch"])
        other = axis.twinx()
        other.plot(rows["epoch"], rows["validation"], color="#1d7a4c", marker="s")
        other.set_ylabel(f"validation {label}", color="#1d7a4c")
    made.figure(
        "Learning curves",
        figure,
        "Grey: training loss. Green: validation score; the epoch with the best one is kept.",
    )
    made.facts(
        "Numbers",
        {
            "training examples": found["n_examples"],
            "epochs kept, network": found["epochs"]["network"],
            "epochs kept, explore head": found["epochs"]["explore"],
        },
    )
    return made

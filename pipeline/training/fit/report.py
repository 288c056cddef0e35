"""Metrics and learning curve of a family's fit."""

from collections.abc import Mapping

import pandas as pd

from pipeline.contracts.family_metrics import FamilyMetrics, FitProbe
from pipeline.recommenders.fitting.fit import Fitted

TINY = 1e-12


def build_metrics(
    fits: Mapping[str, Fitted], validation: Mapping[str, float], n_examples: int
) -> FamilyMetrics:
    """Return the numbers of a family's fit.

    Args:
        fits: Records of the fits by part.
        validation: Quality on rolling validation.
        n_examples: Number of training examples.
    """
    return FamilyMetrics(
        n_examples=n_examples,
        epochs={part: fit.epochs for part, fit in fits.items()},
        loss={part: fit.curve[fit.epochs - 1]["loss"] for part, fit in fits.items()},
        stopped_by={part: fit.curve[fit.epochs - 1]["validation"] for part, fit in fits.items()},
        validation=dict(validation),
        probe={part: collect_probe(fit) for part, fit in fits.items()},
    )


def collect_probe(fit: Fitted) -> FitProbe:
    """Return the debugging numbers that a fit recorded."""
    if not fit.curve or "first_loss" not in fit.curve[0]:
        return fit.probe
    return fit.probe.model_copy(
        update={
            "loss_at_start": fit.curve[0]["first_loss"],
            "loss_at_end": fit.curve[fit.epochs - 1]["loss"],
            "gradient_median": max(row["gradient_median"] for row in fit.curve),
            "gradient_largest": max(row["gradient_largest"] for row in fit.curve),
            "gradient_ratio": max(
                row["gradient_largest"] / max(row["gradient_median"], TINY) for row in fit.curve
            ),
        }
    )


def build_curve(fits: Mapping[str, Fitted]) -> pd.DataFrame:
    """Return one row per part and epoch: part, epoch, loss, validation."""
    frames = [pd.DataFrame(fit.curve).assign(part=part) for part, fit in fits.items()]
    return pd.concat(frames)[["part", "epoch", "loss", "validation"]].round(8)

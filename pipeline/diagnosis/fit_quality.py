"""Overfit and underfit: how far ahead of counting the model is, where it learned and elsewhere.

Weeks differ, so the quality of the model alone on training and on unseen requests cannot be
compared. A counting method learns nothing by heart: what it loses between the two windows is the
weeks' doing. So the model's lead over counting is compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.diagnosis.finding import Finding, above, at_most, healthy
from pipeline.diagnosis.intervals import Doubles, Whole, interval, weighted_mean
from pipeline.params import DiagnosisParams
from pipeline.verdicts import Evidence


@dataclass(frozen=True)
class Side:
    """Requests of one window, and what two methods are worth on each.

    Attributes:
        user: [n] code of each request's user; the same user has the same code on both sides.
        model: [n] quality of the model.
        counting: [n] quality of the best counting method on the same requests.
    """

    user: Whole
    model: Doubles
    counting: Doubles

    @property
    def lead(self) -> Doubles:
        """How far the model is ahead, request by request."""
        return self.model - self.counting


@dataclass(frozen=True)
class Seen:
    """The same quality on requests that were learned from, and on unseen ones."""

    train: Side
    unseen: Side
    metric: str = "ndcg@10"

    @property
    def n_users(self) -> int:
        """Number of user codes."""
        return int(max(self.train.user.max(initial=-1), self.unseen.user.max(initial=-1))) + 1


def lost_lead(seen: Seen) -> tuple[float, float, float]:
    """Return the lead on training requests minus that on unseen ones, and its interval."""
    n = seen.n_users
    train = weighted_mean(seen.train.lead, seen.train.user, n)
    unseen = weighted_mean(seen.unseen.lead, seen.unseen.user, n)
    gap = float(seen.train.lead.mean() - seen.unseen.lead.mean())
    return gap, *interval(n, lambda drawn: train(drawn) - unseen(drawn))


def overfit(seen: Seen, curve: Sequence[dict[str, Any]], params: DiagnosisParams) -> Finding:
    """Return whether the model knows its training requests better than it knows shoppers.

    Args:
        seen: Quality where it learned and elsewhere.
        curve: Rows of the learning curve: epoch, loss, validation.
        params: Bounds.
    """
    gap, low, high = lost_lead(seen)
    quality = max(float(seen.unseen.model.mean()), 1e-9)
    evidence = (
        at_most(
            "lost_lead_fraction", gap / quality, params.maximum_overfit_fraction,
            f"lead over counting in {seen.metric} on training requests minus that on unseen ones, "
            f"as a fraction of the quality there; interval {low / quality:+.3f} to "
            f"{high / quality:+.3f}",
        ),
        _curve_evidence(curve, params),
    )  # fmt: skip
    ahead = seen.train.lead.mean() > 0  # what is behind counting even there learned nothing
    if gap / quality <= params.maximum_overfit_fraction or low <= 0 or not ahead:
        return healthy("overfit", evidence, "It is as good on unseen requests as where it learned.")
    return Finding(
        "overfit", "suspected", evidence,
        f"On requests that it learned from, its lead over counting is {gap:.4f} larger than on "
        "unseen ones: it learned them by heart.",
        "training", "Fewer epochs or smaller layers, more dropout or weight_decay (families).",
    )  # fmt: skip


def _curve_evidence(curve: Sequence[dict[str, Any]], params: DiagnosisParams) -> Evidence:
    """Return how far validation had fallen at the last epoch while the loss still fell."""
    scores = [row["validation"] for row in curve if row.get("validation") is not None]
    fell = len(curve) > 1 and curve[-1]["loss"] < curve[0]["loss"]
    best = max(scores, default=0.0)
    fall = (best - scores[-1]) / best if best > 0 and fell else 0.0
    return at_most(
        "validation_fall_fraction", float(fall), params.maximum_overfit_fraction,
        "from the best epoch to the last, while the training loss fell; the best epoch is kept",
    )  # fmt: skip


def underfit(seen: Seen, curve: Sequence[dict[str, Any]], params: DiagnosisParams) -> Finding:
    """Return whether the model did not learn what there is to learn from its own examples.

    Args:
        seen: Quality where it learned and elsewhere.
        curve: Rows of the learning curve: epoch, loss, validation.
        params: Bounds.
    """
    side = seen.train
    low, high = interval(seen.n_users, weighted_mean(side.lead, side.user, seen.n_users))
    gain = _last_gain(curve)
    evidence = (
        above(
            "lead_on_training_requests", high, 0.0,
            f"upper end of the lead over the best counting method in {seen.metric} where it "
            f"learned: {side.lead.mean():+.4f}, interval {low:+.4f} to {high:+.4f}",
        ),
        at_most(
            "last_epoch_gain_fraction", gain, params.maximum_last_epoch_gain_fraction,
            "gain of validation in the last epoch, when it was the best and the loss still fell",
        ),
    )  # fmt: skip
    if all(item.holds for item in evidence):
        return healthy("underfit", evidence, "It learned what there is in its examples.")
    text = (
        "Even on requests that it learned from it is behind counting."
        if not evidence[0].holds
        else f"Validation still rose by {gain:.1%} in the last epoch: it was stopped too early."
    )
    return Finding(
        "underfit", "suspected", evidence, text,
        "training", "More epochs, a higher learning_rate or wider layers (families).",
    )  # fmt: skip


def _last_gain(curve: Sequence[dict[str, Any]]) -> float:
    """Return the relative gain of the last epoch, 0 unless it was the best and the loss fell."""
    scores = [row["validation"] for row in curve if row.get("validation") is not None]
    if len(scores) < 2 or int(np.argmax(scores)) != len(scores) - 1:  # noqa: PLR2004  a gain needs two
        return 0.0
    if curve[-1]["loss"] >= curve[-2]["loss"]:
        return 0.0
    return float((scores[-1] - scores[-2]) / max(scores[-2], 1e-9))

"""Overfit and underfit: how far ahead of counting the model is, where it learned and elsewhere.

Weeks differ, so the quality of the model alone on training and on unseen requests cannot be
compared. A counting method learns nothing by heart: what it loses between the two windows is the
weeks' doing. So the model's lead over counting is compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.contracts.params import DiagnosisParams
from pipeline.contracts.verdicts import Evidence
from pipeline.testing.diagnosis.finding import Finding, above, at_most, healthy, unknown
from pipeline.testing.diagnosis.intervals import Doubles, Whole, interval, weighted_mean

BEHIND = "Even on requests that it learned from it is behind counting."


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
class GeneralizationGap:
    """The same quality on requests that were learned from, and on unseen ones."""

    train: Side
    unseen: Side
    metric: str = "ndcg@10"

    @property
    def n_users(self) -> int:
        """Number of user codes."""
        return int(max(self.train.user.max(initial=-1), self.unseen.user.max(initial=-1))) + 1


def lost_lead(seen: GeneralizationGap) -> tuple[float, float, float]:
    """Return the lead on training requests minus that on unseen ones, and its interval."""
    n = seen.n_users
    train = weighted_mean(seen.train.lead, seen.train.user, n)
    unseen = weighted_mean(seen.unseen.lead, seen.unseen.user, n)
    gap = float(seen.train.lead.mean() - seen.unseen.lead.mean())
    return gap, *interval(n, lambda drawn: train(drawn) - unseen(drawn))


def overfit(seen: GeneralizationGap, params: DiagnosisParams) -> Finding:
    """Return whether the model knows its training requests better than it knows shoppers.

    A gap beyond the bound that may be chance is neither healthy nor suspected, and so is that of a
    model that is behind counting even where it learned: it has no lead to lose.

    Args:
        seen: Quality where it learned and elsewhere.
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
    )  # fmt: skip
    if evidence[0].holds:
        return healthy("overfit", evidence, "It is as good on unseen requests as where it learned.")
    if low <= 0:
        return unknown("overfit", "The lead that it loses may be chance.", evidence)
    if seen.train.lead.mean() <= 0:
        return unknown("overfit", "It is behind counting even where it learned.", evidence)
    return Finding(
        "overfit", "suspected", evidence,
        f"On requests that it learned from, its lead over counting is {gap:.4f} larger than on "
        "unseen ones: it learned them by heart.",
        "training", "Fewer epochs or smaller layers, more dropout or weight_decay (families).",
    )  # fmt: skip


def underfit(
    seen: GeneralizationGap, curve: Sequence[dict[str, Any]], params: DiagnosisParams
) -> Finding:
    """Return whether the model did not learn what there is to learn from its own examples.

    Args:
        seen: Quality where it learned and elsewhere.
        curve: Rows of the learning curve: epoch, loss, validation.
        params: Bounds.
    """
    lead = _lead_where_it_learned(seen)
    gain = last_gain(curve)
    if gain is None:
        if lead.holds:
            return unknown("underfit", "Fewer than two epochs have a validation score.", (lead,))
        return _underfit((lead,), BEHIND)
    evidence = (
        lead,
        at_most(
            "last_epoch_gain_fraction", gain, params.maximum_last_epoch_gain_fraction,
            f"gain of validation in epoch {len(curve)}, the last; 0 when an earlier one was best",
        ),
    )  # fmt: skip
    if all(item.holds for item in evidence):
        return healthy("underfit", evidence, "It learned what there is in its examples.")
    rising = (
        f"Validation still rose by {gain:.1%} in epoch {len(curve)}, the last: it may have been "
        "stopped too early, which a fit with more epochs tells."
    )
    return _underfit(evidence, rising if lead.holds else BEHIND)


def _lead_where_it_learned(seen: GeneralizationGap) -> Evidence:
    side = seen.train
    low, high = interval(seen.n_users, weighted_mean(side.lead, side.user, seen.n_users))
    return above(
        "lead_on_training_requests", high, 0.0,
        f"upper end of the lead over the best counting method in {seen.metric} where it "
        f"learned: {side.lead.mean():+.4f}, interval {low:+.4f} to {high:+.4f}",
    )  # fmt: skip


def _underfit(evidence: tuple[Evidence, ...], cause: str) -> Finding:
    action = "More epochs, a higher learning_rate or wider layers (families)."
    return Finding("underfit", "suspected", evidence, cause, "training", action)


def last_gain(curve: Sequence[dict[str, Any]]) -> float | None:
    """Return the relative gain of validation in the last epoch, 0 unless it was the best.

    A fit that stopped by itself has its best epoch before the last. What the loss did does not
    count: that of an adversarial family need not fall. None with fewer than two scores.
    """
    scores = [row["validation"] for row in curve if row.get("validation") is not None]
    if len(scores) < 2:  # noqa: PLR2004  a gain needs two
        return None
    gain = (scores[-1] - scores[-2]) / max(scores[-2], 1e-9)
    return float(gain) if int(np.argmax(scores)) == len(scores) - 1 else 0.0

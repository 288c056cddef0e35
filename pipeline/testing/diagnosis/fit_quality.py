"""Overfit and underfit: the model's lead over a baseline on training and on unseen requests.

Weeks differ, so the model's quality on training and on unseen requests is not comparable. A
frequency baseline cannot memorise, so its difference between the windows is due to the weeks. The
check therefore compares the model's lead over the baseline.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.contracts.params import DiagnosisParams
from pipeline.contracts.verdicts import Evidence
from pipeline.testing.diagnosis.finding import Finding, above, at_most, healthy, unknown
from pipeline.testing.diagnosis.intervals import Doubles, Whole, interval, weighted_mean

BEHIND = "It is behind the best baseline even on its training requests."


@dataclass(frozen=True)
class WindowQuality:
    """Quality of two methods on the requests of one window.

    Attributes:
        user: [n] code of each request's user, shared by both windows.
        model: [n] quality of the model.
        baseline: [n] quality of the best baseline.
    """

    user: Whole
    model: Doubles
    baseline: Doubles

    @property
    def lead(self) -> Doubles:
        """[n] lead of the model over the baseline."""
        return self.model - self.baseline


@dataclass(frozen=True)
class GeneralizationGap:
    """Quality on training requests and on unseen requests."""

    train: WindowQuality
    unseen: WindowQuality
    metric: str = "ndcg@10"

    @property
    def n_users(self) -> int:
        """Number of user codes."""
        return int(max(self.train.user.max(initial=-1), self.unseen.user.max(initial=-1))) + 1


def lost_lead(gap: GeneralizationGap) -> tuple[float, float, float]:
    """Return the lead on training requests minus the lead on unseen ones, and its interval."""
    n = gap.n_users
    train = weighted_mean(gap.train.lead, gap.train.user, n)
    unseen = weighted_mean(gap.unseen.lead, gap.unseen.user, n)
    lost = float(gap.train.lead.mean() - gap.unseen.lead.mean())
    return lost, *interval(n, lambda drawn: train(drawn) - unseen(drawn))


def check_overfit(gap: GeneralizationGap, params: DiagnosisParams) -> Finding:
    """Return whether the model memorised its training requests.

    The finding is unknown if a gap beyond the bound may be chance, or if the model has no lead to
    lose because it is behind the baseline on training requests.

    Args:
        gap: Quality on training and on unseen requests.
        params: Bounds.
    """
    lost, low, high = lost_lead(gap)
    quality = max(float(gap.unseen.model.mean()), 1e-9)
    evidence = (
        at_most(
            "lost_lead_fraction", lost / quality, params.maximum_overfit_fraction,
            f"lead over the baseline in {gap.metric} on training requests minus that on unseen "
            f"ones, as a fraction of the latter's quality; interval {low / quality:+.3f} to "
            f"{high / quality:+.3f}",
        ),
    )  # fmt: skip
    if evidence[0].holds:
        return healthy("overfit", evidence, "It is as good on unseen as on training requests.")
    if low <= 0:
        return unknown("overfit", "The lost lead may be chance.", evidence)
    if gap.train.lead.mean() <= 0:
        return unknown("overfit", BEHIND, evidence)
    return Finding(
        "overfit", "suspected", evidence,
        f"Its lead over the best baseline is {lost:.4f} larger on training requests than on unseen "
        "ones: it memorised them.",
        "training", "Fewer epochs or smaller layers, more dropout or weight_decay (families).",
    )  # fmt: skip


def check_underfit(
    gap: GeneralizationGap, curve: Sequence[dict[str, Any]], params: DiagnosisParams
) -> Finding:
    """Return whether the model learned too little from its training examples.

    Args:
        gap: Quality on training and on unseen requests.
        curve: Rows of the learning curve: epoch, loss, validation.
        params: Bounds.
    """
    lead = _training_lead(gap)
    gain = last_gain(curve)
    if gain is None:
        if lead.holds:
            return unknown("underfit", "Fewer than two epochs have a validation score.", (lead,))
        return _underfit_finding((lead,), BEHIND)
    evidence = (
        lead,
        at_most(
            "last_epoch_gain_fraction", gain, params.maximum_last_epoch_gain_fraction,
            f"gain of validation in the last epoch, {len(curve)}; 0 if an earlier one was best",
        ),
    )  # fmt: skip
    if all(item.holds for item in evidence):
        return healthy("underfit", evidence, "It learned its training examples.")
    rising = (
        f"Validation still rose by {gain:.1%} in the last epoch, {len(curve)}: the fit may have "
        "stopped too early."
    )
    return _underfit_finding(evidence, rising if lead.holds else BEHIND)


def _training_lead(gap: GeneralizationGap) -> Evidence:
    side = gap.train
    low, high = interval(gap.n_users, weighted_mean(side.lead, side.user, gap.n_users))
    return above(
        "lead_on_training_requests", high, 0.0,
        f"upper end of the lead over the best baseline in {gap.metric} on training requests: "
        f"{side.lead.mean():+.4f}, interval {low:+.4f} to {high:+.4f}",
    )  # fmt: skip


def _underfit_finding(evidence: tuple[Evidence, ...], cause: str) -> Finding:
    action = "More epochs, a higher learning_rate or wider layers (families)."
    return Finding("underfit", "suspected", evidence, cause, "training", action)


def last_gain(curve: Sequence[dict[str, Any]]) -> float | None:
    """Return the relative gain of validation in the last epoch, 0 unless it was the best.

    A fit that stopped early has its best epoch before the last. The loss is ignored, since that of
    an adversarial family need not fall. None with fewer than two scores.
    """
    scores = [row["validation"] for row in curve if row.get("validation") is not None]
    if len(scores) < 2:  # noqa: PLR2004  a gain needs two
        return None
    gain = (scores[-1] - scores[-2]) / max(scores[-2], 1e-9)
    return float(gain) if int(np.argmax(scores)) == len(scores) - 1 else 0.0

"""Whether a repair helped: the rule by which the loop keeps or undoes it.

In this order:

1. Its cycle ended without a verdict: undo.
2. An earlier phase than before returns or stops: undo.
3. Served answers became worse: undo. The interval of the difference of the primary metric lies
   below 0. The errors of both measurements count as independent, which is cautious where the
   requests are the same. Measurements of other weeks (another shop.as_of) are not compared.
4. The verdict now proceeds, or only a later phase returns or stops: keep.
5. The same phase returns or stops, but served answers became better (the interval of the
   difference lies above 0), or less of its evidence fails and no other: keep, and go on.
6. Otherwise: undo.

A repair that a person chose is kept unless its cycle fails.
"""

import math
from dataclasses import dataclass

from pipeline.contracts.phases import PHASES
from pipeline.lifecycle.ledger.entries import Assessment, Attempt, Measurement


@dataclass(frozen=True)
class Judgement:
    """Whether to keep a repair, with the reason and the change of the primary metric."""

    is_kept: bool
    reason: str
    realised_gain: float | None = None


def judge_attempt(attempt: Attempt, after: Assessment) -> Judgement:
    """Return whether to keep an attempt whose repair led to `after`."""
    judgement = judge(attempt.before, after)
    if attempt.by == "person" and not judgement.is_kept and after.failure is None:
        reason = f"a person chose it, although {judgement.reason}"
        return Judgement(is_kept=True, reason=reason, realised_gain=judgement.realised_gain)
    return judgement


def judge(before: Assessment, after: Assessment) -> Judgement:
    """Return whether to keep a repair, by the rule of this module."""
    gain = compute_gain(before.measurement, after.measurement)
    if after.failure is not None:
        return Judgement(is_kept=False, reason=after.failure)
    place, place_before = _position(after), _position(before)
    low, high = compare(before.measurement, after.measurement) or (-math.inf, math.inf)
    phase = "" if after.trouble is None else after.trouble.phase
    table = (
        (place < place_before, False, f"{phase} no longer proceeds"),
        (high < 0, False, f"served answers became worse by {-high:.4f} to {-low:.4f}"),
        (after.is_healthy, True, "every verdict proceeds or is accepted"),
        (place > place_before, True, f"the cycle now reaches {phase}"),
        (low > 0, True, f"served answers became better by {low:.4f} to {high:.4f}"),
        (_fails_less(before, after), True, f"less evidence of {phase} fails"),
    )
    for fits, is_kept, reason in table:
        if fits:
            return Judgement(is_kept, reason, gain)
    return Judgement(
        is_kept=False, reason=f"{phase} returns or stops as before", realised_gain=gain
    )


def _position(assessment: Assessment) -> int:
    trouble = assessment.trouble
    return len(PHASES) if trouble is None else PHASES.index(trouble.phase)


def _fails_less(before: Assessment, after: Assessment) -> bool:
    """Return whether a part of the evidence that failed holds now, and no other fails."""
    if before.trouble is None or after.trouble is None:
        return False
    return {e.name for e in after.trouble.failing} < {e.name for e in before.trouble.failing}


def compare(before: Measurement | None, after: Measurement | None) -> tuple[float, float] | None:
    """Return the interval of the difference; None if the two are of other weeks or metrics.

    >>> from datetime import date
    >>> old = Measurement(metric="recall@10", value=0.10, low=0.07, high=0.13, as_of=date.min)
    >>> new = old.model_copy(update={"value": 0.20, "low": 0.16, "high": 0.24})
    >>> [round(end, 6) for end in compare(old, new)]
    [0.05, 0.15]
    """
    if before is None or after is None or not _is_comparable(before, after):
        return None
    difference = after.value - before.value
    below = math.hypot(after.value - after.low, before.high - before.value)
    above = math.hypot(after.high - after.value, before.value - before.low)
    return difference - below, difference + above


def compute_gain(before: Measurement | None, after: Measurement | None) -> float | None:
    """Return the change of the metric; in other weeks, that of its lead over live frequency."""
    if before is None or after is None:
        return None
    if _is_comparable(before, after):
        return round(after.value - before.value, 6)
    if before.lead is None or after.lead is None or before.metric != after.metric:
        return None
    return round(after.lead - before.lead, 6)


def _is_comparable(before: Measurement, after: Measurement) -> bool:
    return (before.metric, before.as_of) == (after.metric, after.as_of)

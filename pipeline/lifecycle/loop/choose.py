"""Which repair to try next: the best expected gain per minute.

Repairs are ranked in four groups, and a verdict's order breaks ties:

1. a positive expected gain: by gain per minute. An unknown cost counts as the largest known cost
   of the verdict's repairs, or as one minute if none is known;
2. an unknown gain;
3. no expected gain, such as a lower target;
4. a question to a person, when a program has nothing left to try.
"""

from collections.abc import Collection, Sequence

from pipeline.contracts.repairs import Repair
from pipeline.contracts.verdicts import Verdict
from pipeline.lifecycle.ledger.entries import identify

SHORTEST_MINUTES = 0.1  # below this, a ratio says nothing
ASSUMED_MINUTES = 1.0
ROLL_BACK = "roll back to the previous champion"


def rank_repairs(repairs: Sequence[Repair], tried: Collection[str] = ()) -> tuple[Repair, ...]:
    """Return the repairs that were not tried, the one to try first in front."""
    known = [r.cost_minutes for r in repairs if r.cost_minutes is not None]
    unknown_cost = max(known, default=ASSUMED_MINUTES)

    def rank(repair: Repair) -> tuple[int, float]:
        gain = repair.expected_gain
        if repair.step.kind == "ask":
            return 3, 0.0
        if gain is None:
            return 1, 0.0
        if gain <= 0:
            return 2, -gain
        cost = unknown_cost if repair.cost_minutes is None else repair.cost_minutes
        return 0, -gain / max(cost, SHORTEST_MINUTES)

    return tuple(sorted((r for r in repairs if identify(r) not in tried), key=rank))


def fits_budget(repair: Repair, minutes_left: float) -> bool:
    """Return whether the expected cost of a repair is within the budget; a question is free."""
    if repair.step.kind == "ask":
        return True
    return (repair.cost_minutes or 0.0) <= minutes_left and minutes_left > 0


def describe_step(repair: Repair) -> str:
    """Return the step in a few words.

    >>> from pipeline.contracts.repairs import Change, EditParams
    >>> step = EditParams(changes=(Change(key="shop.as_of", value="2017-12-11"),))
    >>> describe_step(Repair(cause="aged", target_phase="training", step=step, because="It is."))
    "set shop.as_of to '2017-12-11'"
    """
    step = repair.step
    if step.kind == "edit_params":
        return ", ".join(
            f"set {change.key} to {change.value!r}"
            if change.operation == "set"
            else f"append {change.value!r} to {change.key}"
            for change in step.changes
        )
    if step.kind == "ask":
        return f"ask: {step.question}"
    if step.kind == "rerun":
        return f"run {step.stage} again"
    return "restart the service" if step.kind == "restart" else ROLL_BACK


def describe_candidates(verdict: Verdict, ranked: Sequence[Repair]) -> list[str]:
    """Return the repairs as lines of text, in the order in which the loop would try them."""
    lines = [f"{verdict.phase} says '{verdict.status}': {verdict.cause}"]
    for number, repair in enumerate(ranked, start=1):
        gain = "unknown" if repair.expected_gain is None else f"{repair.expected_gain:+.4f}"
        cost = "unknown" if repair.cost_minutes is None else f"{repair.cost_minutes:.1f} minutes"
        lines.append(f"  {number}. {repair.cause}: {describe_step(repair)}")
        lines.append(f"     expected gain {gain}, cost {cost}; {repair.because}")
    return lines if ranked else [*lines, "  Nothing is left to try."]

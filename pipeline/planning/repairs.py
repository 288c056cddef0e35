"""What to do about a project that is not viable: a person decides, a program may carry it out."""

import math
from collections.abc import Sequence

from pipeline.contracts.repairs import Ask, Change, EditParams, Repair
from pipeline.contracts.verdicts import Evidence

SCALE = 10_000  # four decimals of a bound that is proposed
# Upper bounds that a person may raise to what the plan expects.
BUDGETS = {
    "cycle_minutes": "planning.guardrails.cycle_minutes",
    "memory_gib": "planning.guardrails.training_memory_gib",
}


def ask_about_viability(missed: Sequence[Evidence]) -> Repair:
    """Return the question whether to go on, with the bounds that a person may change.

    Args:
        missed: The evidence that gates and does not hold; at least one.
    """
    numbers = "; ".join(item.in_words() for item in missed)
    steps = {
        f"change_{change.key.rsplit('.', 1)[-1]}": EditParams(changes=(change,))
        for change in map(_relax, missed)
        if change is not None
    }
    question = f"{numbers}. Collect more data, change a bound, or end the project?"
    return Repair(
        cause="not_viable",
        target_phase="planning",
        step=Ask(question=question, options=("end",), steps=steps),
        because=numbers,
    )


def _relax(missed: Evidence) -> Change | None:
    """Return the bound that the evidence would hold; None if no honest bound would do."""
    if missed.value is None:
        return None
    if missed.name in BUDGETS:
        return Change(key=BUDGETS[missed.name], value=float(math.ceil(missed.value)))
    if missed.name == "gain_lower_bound" and missed.value > 0:
        floor = math.floor(missed.value * SCALE) / SCALE
        return Change(key="planning.minimum_gain", value=floor)
    return None

"""What to do about labels that are doubtful or break an expectation: a person looks at them."""

import math
from collections.abc import Sequence

from pipeline.contracts.repairs import Ask, Change, EditParams, Repair
from pipeline.contracts.verdicts import Evidence

DOUBTFUL = "doubtful_fraction"
SCALE = 10_000  # four decimals of a bound that is proposed


def ask_about_labels(broken: Sequence[Evidence], action: str) -> Repair:
    """Return the question about labels; a person may also tolerate the doubtful ones.

    Args:
        broken: The evidence that gates and does not hold; at least one.
        action: What the verdict advises.
    """
    doubtful = next((item for item in broken if item.name == DOUBTFUL), None)
    steps = {}
    if doubtful is not None and doubtful.value is not None and len(broken) == 1:
        limit = math.ceil(doubtful.value * SCALE) / SCALE
        change = Change(key="labeling.maximum_doubtful_fraction", value=limit)
        steps["tolerate"] = EditParams(changes=(change,))
    numbers = "; ".join(item.in_words() for item in broken)
    return Repair(
        cause="label_noise" if doubtful is not None else "wrong_label_policy",
        target_phase="collection" if doubtful is not None else "labeling",
        step=Ask(question=f"{numbers}. {action}", steps=steps),
        because=numbers,
    )

"""Explore slots drawn by chance, and the probability with which each item came to its slot.

A list that always shows the best guess learns nothing about the others, and its log cannot tell
what another policy would have earned. `sampled` draws the explore slots one after the other from
the best candidates (Plackett-Luce: without replacement, by score), so that the log can.

The probability is that of the item in its slot given what stands above it in the same list. Of
that it is exact, whatever the rules of the list leave out; the product over the slots is the
probability of the whole list. What was not drawn has probability 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from pipeline.contracts.params import ServingParams


@dataclass(frozen=True, slots=True)
class Sampling:
    """How explore slots are drawn.

    Attributes:
        temperature: In standard deviations of the candidates' scores, which makes it mean the same
            for every method; near 0 the best are drawn almost surely, large values are uniform.
        n_candidates: How many of the best are drawn from.
    """

    temperature: float
    n_candidates: int


def sampling_of(params: ServingParams) -> Sampling | None:
    """Return how explore slots are drawn, None when the best are taken."""
    if params.explore_policy == "top":
        return None
    return Sampling(params.explore_temperature, params.explore_candidates)


def draws_of(request_id: str) -> Random:
    """Return the chance of one request: the same for the same id, on every machine."""
    return Random(request_id)  # noqa: S311  it must be repeatable, not secret


def weights(scores: Sequence[float], temperature: float) -> list[float]:
    """Return the weight of each candidate: exp(score / temperature), the best has 1.

    Scores are in standard deviations of themselves; equal ones have equal weights.

    >>> weights([3.0, 1.0], temperature=2.0)[1] == math.exp(-1.0)
    True
    >>> weights([5.0, 5.0], temperature=0.5)
    [1.0, 1.0]
    """
    mean = sum(scores) / len(scores)
    spread = math.sqrt(sum((score - mean) ** 2 for score in scores) / len(scores))
    if spread == 0:
        return [1.0] * len(scores)
    top = max(scores)
    return [math.exp((score - top) / spread / temperature) for score in scores]


def drawn(weight: Sequence[float], draw: Random) -> tuple[int, float]:
    """Return which one was drawn in proportion to its weight, and with what probability."""
    total = math.fsum(weight)
    point, passed = draw.random() * total, 0.0
    for at, each in enumerate(weight):
        passed += each
        if point < passed:
            return at, each / total
    return len(weight) - 1, weight[-1] / total

"""Random explore slots, and the propensity of each item: the probability that it got its slot.

If a list always shows the top items, its log cannot tell what another policy would have earned.
The policy `sampled` draws the explore slots one after the other from the best candidates
(Plackett-Luce: without replacement, by score), so that its log can.

The propensity is the probability of the item in its slot given the items above it in the same
list. It is exact, whatever the reranking rules leave out; the product over the slots is the
probability of the list. An item that was not drawn has propensity 1.
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
        temperature: In standard deviations of the candidates' scores, so that it is comparable
            between recommenders; near 0 the top items are drawn, large values are uniform.
        n_candidates: Number of top candidates to draw from.
    """

    temperature: float
    n_candidates: int


def build_sampling(params: ServingParams) -> Sampling | None:
    """Return how explore slots are drawn, None if the top items are taken."""
    if params.explore_policy == "top":
        return None
    return Sampling(params.explore_temperature, params.explore_candidates)


def build_random(request_id: str) -> Random:
    """Return the random generator of a request; equal ids give equal draws on every machine."""
    return Random(request_id)  # noqa: S311  repeatable, not secret


def sampling_weights(scores: Sequence[float], temperature: float) -> list[float]:
    """Return exp(score / temperature) of each candidate, scaled so that the largest is 1.

    Scores are divided by their standard deviation; equal scores have equal weights.

    >>> sampling_weights([3.0, 1.0], temperature=2.0)[1] == math.exp(-1.0)
    True
    >>> sampling_weights([5.0, 5.0], temperature=0.5)
    [1.0, 1.0]
    """
    mean = sum(scores) / len(scores)
    spread = math.sqrt(sum((score - mean) ** 2 for score in scores) / len(scores))
    if spread == 0:
        return [1.0] * len(scores)
    top = max(scores)
    return [math.exp((score - top) / spread / temperature) for score in scores]


def draw_index(weights: Sequence[float], random: Random) -> tuple[int, float]:
    """Draw an index in proportion to the weights; return it with its probability."""
    total = math.fsum(weights)
    point, passed = random.random() * total, 0.0
    for index, weight in enumerate(weights):
        passed += weight
        if point < passed:
            return index, weight / total
    return len(weights) - 1, weights[-1] / total

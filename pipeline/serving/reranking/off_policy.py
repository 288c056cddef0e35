"""What another policy would have earned, from a log of drawn slots and their propensities.

Each row is one drawn slot: what it earned (1 for a purchase, say), the logged probability of its
item, and the probability that the other policy gives to that item in that slot, given what stood
above it. An item that was never drawn from the candidates has no probability: the other policy must
choose among the same candidates (`serving.explore_candidates`).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def ips(rewards: Sequence[float], propensities: Sequence[float], target: Sequence[float]) -> float:
    """Return the mean of reward * target / propensity: unbiased, and noisy for a distant policy.

    Args:
        rewards: [n] what each slot earned.
        propensities: [n] logged, in (0, 1].
        target: [n] what the other policy gives to the same item.

    Raises:
        ValueError: No rows, or a propensity out of range.

    References:
        Horvitz and Thompson (1952), doi:10.1080/01621459.1952.10483446.

    Example:
        >>> ips([1.0, 0.0], [0.5, 0.5], [1.0, 0.0])
        1.0
    """
    return float(np.mean(np.asarray(rewards) * _ratios(propensities, target)))


def snips(
    rewards: Sequence[float], propensities: Sequence[float], target: Sequence[float]
) -> float:
    """Return the mean reward weighted by target / propensity: a little biased, far less noisy.

    It stays within the range of the rewards.

    Args:
        rewards: [n] what each slot earned.
        propensities: [n] logged, in (0, 1].
        target: [n] what the other policy gives to the same item.

    Raises:
        ValueError: No rows, a propensity out of range, or no row that the other policy would show.

    References:
        Swaminathan and Joachims (2015), The self-normalized estimator for counterfactual learning.
    """
    ratios = _ratios(propensities, target)
    if not ratios.sum() > 0:
        message = "expected at least one row that the other policy would show"
        raise ValueError(message)
    return float(np.average(np.asarray(rewards), weights=ratios))


def _ratios(propensities: Sequence[float], target: Sequence[float]) -> npt.NDArray[np.float64]:
    logged = np.asarray(propensities, dtype=np.float64)
    if not len(logged) or not ((logged > 0) & (logged <= 1)).all():
        message = "expected at least one row, and propensities in (0, 1]"
        raise ValueError(message)
    return np.asarray(target, dtype=np.float64) / logged

"""Off-policy evaluation: the reward of another policy, from a log of sampled slots.

Each row is one sampled slot: its reward (1 for a purchase, say), the logged propensity of its item,
and the probability that the target policy gives to that item in that slot, given the items above
it. The target policy must choose among the same candidates (`serving.explore_candidates`).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def ips(rewards: Sequence[float], propensities: Sequence[float], target: Sequence[float]) -> float:
    """Return the mean of reward * target / propensity: unbiased, noisy if policies differ much.

    Args:
        rewards: [n] reward of each slot.
        propensities: [n] logged, in (0, 1].
        target: [n] probability of the same item under the target policy, in [0, 1].

    Raises:
        ValueError: There are no rows, or a propensity is out of range.

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
    """Return the mean reward weighted by target / propensity: slightly biased, much less noisy.

    The result is within the range of the rewards.

    Args:
        rewards: [n] reward of each slot.
        propensities: [n] logged, in (0, 1].
        target: [n] probability of the same item under the target policy, in [0, 1].

    Raises:
        ValueError: There are no rows, a propensity is out of range, or all of `target` is 0.

    References:
        Swaminathan and Joachims (2015), The self-normalized estimator for counterfactual learning.
    """
    ratios = _ratios(propensities, target)
    if not ratios.sum() > 0:
        message = "expected at least one row with a positive target probability"
        raise ValueError(message)
    return float(np.average(np.asarray(rewards), weights=ratios))


def _ratios(propensities: Sequence[float], target: Sequence[float]) -> npt.NDArray[np.float64]:
    logged = np.asarray(propensities, dtype=np.float64)
    if not len(logged) or not ((logged > 0) & (logged <= 1)).all():
        message = "expected at least one row, and propensities in (0, 1]"
        raise ValueError(message)
    return np.asarray(target, dtype=np.float64) / logged

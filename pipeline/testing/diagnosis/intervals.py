"""Bootstrap intervals over users, also for differences between windows."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pipeline.metrics.bootstrap import central_interval, draw_users

Doubles = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
N_SAMPLES = 500
CONFIDENCE = 0.95
SEED = 11


def interval(
    n_users: int, statistic: Callable[[Doubles], Doubles], seed: int = SEED
) -> tuple[float, float]:
    """Return the bootstrap interval of a statistic over users.

    Args:
        n_users: Number of users.
        statistic: Maps [n_samples, n_users] numbers of draws to [n_samples] values.
        seed: Seed of the draws.
    """
    random = np.random.default_rng(seed)
    values = statistic(draw_users(random, n_users, N_SAMPLES).astype(np.float64))
    return central_interval(values, CONFIDENCE)


def weighted_mean(values: Doubles, user: Whole, n_users: int) -> Callable[[Doubles], Doubles]:
    """Return a statistic for `interval`: the mean of `values` over the drawn users."""
    sums = np.bincount(user, weights=values, minlength=n_users)
    counts = np.bincount(user, minlength=n_users)

    def mean(drawn: Doubles) -> Doubles:
        total = drawn @ counts
        means = np.full(len(drawn), np.nan)
        np.divide(drawn @ sums, total, out=means, where=total > 0)
        return means

    return mean

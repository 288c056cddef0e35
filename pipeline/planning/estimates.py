"""Means over baskets, with intervals from resampled users.

The baskets of one user are not independent, so the bootstrap draws whole users.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.contracts.plan import Estimate
from pipeline.metrics.bootstrap import central_interval, draw_users
from pipeline.planning.frequency import Doubles
from pipeline.planning.history import Ints

FEWEST_USERS = 2  # the spread between users needs two of them
BLOCK = 4_000_000  # resampling weights in memory at a time


@dataclass(frozen=True, eq=False)
class Resampling:
    """Bootstrap over users with fixed draws, so that all its results are paired.

    Attributes:
        user: [n] user of each request.
        n_samples: Number of draws.
        confidence: Level of the intervals, in 0..1.
        seed: Seed of the draws.
    """

    user: Ints
    n_samples: int
    confidence: float
    seed: int

    def means(self, values: Doubles) -> Doubles:
        """Return [n_samples, n_columns] means over the requests of the drawn users.

        Args:
            values: [n, n_columns], one row per request.
        """
        users, place = np.unique(self.user, return_inverse=True)
        columns = (*values.T, np.ones(len(values)))
        sums = np.stack([np.bincount(place, column, minlength=len(users)) for column in columns])
        random = np.random.default_rng(self.seed)
        block = max(BLOCK // len(users), 1)
        sizes = [min(block, self.n_samples - done) for done in range(0, self.n_samples, block)]
        drawn = [draw_users(random, len(users), size).astype(float) @ sums.T for size in sizes]
        totals = np.concatenate(drawn)
        return np.asarray(totals[:, :-1] / totals[:, -1:])

    def estimate(self, values: Doubles, *, low: float = 0.0, high: float = 1.0) -> Estimate:
        """Return the mean of [n] `values` and its interval; of one user, `low` to `high`."""
        value = float(values.mean())
        if len(np.unique(self.user)) < FEWEST_USERS:
            return Estimate(value=value, low=low, high=high)
        return self.interval(value, self.means(values[:, None])[:, 0])

    def interval(self, value: float, samples: Doubles) -> Estimate:
        """Return `value` with the central interval of `samples`."""
        low, high = central_interval(samples, self.confidence)
        return Estimate(value=round_number(value), low=round_number(low), high=round_number(high))

    def half_width(self, values: Doubles) -> float:
        """Return half the width of a mean's interval, from the spread between users.

        This is the limit of the bootstrap (linearised ratio of sums), without its noise. With one
        user, it is 1.
        """
        users, place = np.unique(self.user, return_inverse=True)
        if len(users) < FEWEST_USERS:
            return 1.0
        left = np.bincount(place, values - values.mean(), minlength=len(users))
        error = np.sqrt(np.sum(left**2) * len(users) / (len(users) - 1)) / len(values)
        return round_number(normal_quantile(self.confidence) * error)


def normal_quantile(confidence: float) -> float:
    """Return the half width of a normal interval in standard errors.

    >>> round(normal_quantile(0.95), 2)
    1.96
    """
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + confidence) / 2)


def round_number(value: float) -> float:
    """Return `value` with six decimals; later ones depend on the order of summation."""
    return round(float(value), 6)

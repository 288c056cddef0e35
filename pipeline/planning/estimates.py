"""Means over baskets, with intervals from resampled users.

Baskets of one user are not independent, so whole users are drawn.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.contracts.plan import Estimate
from pipeline.planning.counting import Doubles
from pipeline.planning.history import Ints

FEWEST_USERS = 2  # one user says nothing about the spread between users
BLOCK = 4_000_000  # resampling weights held in memory at once


@dataclass(frozen=True, eq=False)
class Resampling:
    """Draws the same users again and again: all that is measured with it is paired.

    Attributes:
        user: [n] whose request each is.
        n_samples: How often to draw.
        confidence: The interval's share, for instance 0.95.
        seed: Of the draws.
    """

    user: Ints
    n_samples: int
    confidence: float
    seed: int

    def means(self, values: Doubles) -> Doubles:
        """Return [n_samples, n_columns] means over the requests of drawn users.

        Args:
            values: [n, n_columns], one row per request.
        """
        own, place = np.unique(self.user, return_inverse=True)
        columns = (*values.T, np.ones(len(values)))
        sums = np.stack([np.bincount(place, column, minlength=len(own)) for column in columns])
        random = np.random.default_rng(self.seed)
        block = max(BLOCK // len(own), 1)
        sizes = [min(block, self.n_samples - done) for done in range(0, self.n_samples, block)]
        drawn = [self._drawn(random, size, len(own)) @ sums.T for size in sizes]
        totals = np.concatenate(drawn)
        return np.asarray(totals[:, :-1] / totals[:, -1:])

    @staticmethod
    def _drawn(random: np.random.Generator, size: int, n_users: int) -> Doubles:
        return random.multinomial(n_users, np.full(n_users, 1 / n_users), size).astype(float)

    def estimate(self, values: Doubles, *, low: float = 0.0, high: float = 1.0) -> Estimate:
        """Return the mean of [n] `values` and its interval; of one user, `low` to `high`."""
        value = float(values.mean())
        if len(np.unique(self.user)) < FEWEST_USERS:
            return Estimate(value=value, low=low, high=high)
        return self.interval(value, self.means(values[:, None])[:, 0])

    def interval(self, value: float, samples: Doubles) -> Estimate:
        """Return `value` with the central interval of `samples`."""
        tail = (1 - self.confidence) / 2
        bounds = np.quantile(samples, [tail, 1 - tail])
        return Estimate(value=rounded(value), low=rounded(bounds[0]), high=rounded(bounds[1]))

    def half_width(self, values: Doubles) -> float:
        """Return the interval's half width of a mean, from the spread between users.

        It is the bootstrap's limit without its noise (linearised ratio of sums). With one user
        nothing is known, and it is 1.
        """
        own, place = np.unique(self.user, return_inverse=True)
        if len(own) < FEWEST_USERS:
            return 1.0
        left = np.bincount(place, values - values.mean(), minlength=len(own))
        error = np.sqrt(np.sum(left**2) * len(own) / (len(own) - 1)) / len(values)
        return rounded(normal_quantile(self.confidence) * error)


def normal_quantile(confidence: float) -> float:
    """Return how many standard errors the interval reaches to each side.

    >>> round(normal_quantile(0.95), 2)
    1.96
    """
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + confidence) / 2)


def rounded(value: float) -> float:
    """Return six decimals: what differs beyond them is the order of a sum."""
    return round(float(value), 6)

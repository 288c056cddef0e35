"""Confidence by bootstrap over users: baskets of one person are not independent."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bootstrap:
    """The same resampled users for every number, so that differences are paired.

    Attributes:
        user: [n] code of each request's user.
        weights: [n_samples, n_users] how often each user was drawn.
        confidence: Of the intervals, in 0..1.
    """

    user: Codes
    weights: npt.NDArray[np.int64]
    confidence: float

    @classmethod
    def of(cls, user: Codes, n_samples: int, confidence: float, seed: int) -> "Bootstrap":
        """Draw `n_samples` times as many users as there are, with replacement."""
        n_users = int(user.max(initial=-1)) + 1
        random = np.random.default_rng(seed)
        weights = random.multinomial(n_users, np.full(n_users, 1 / n_users), size=n_samples)
        return cls(user, weights, confidence)

    def interval(self, values: Doubles, chosen: npt.NDArray[np.bool_] | None = None) -> list[float]:
        """Return the lower and upper end of the mean over requests; NaN values are left out."""
        means = self._means(values, chosen)
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(means, [tail, 1 - tail])
        return [float(low), float(high)]

    def paired(self, ours: Doubles, theirs: Doubles) -> dict[str, float]:
        """Return the mean difference of two methods on the same requests, and its interval."""
        difference = ours - theirs
        low, high = self.interval(difference)
        return {"difference": float(np.nanmean(difference)), "low": low, "high": high}

    def _means(self, values: Doubles, chosen: npt.NDArray[np.bool_] | None) -> Doubles:
        there = ~np.isnan(values) if chosen is None else ~np.isnan(values) & chosen
        n_users = self.weights.shape[1]
        sums = np.bincount(self.user[there], weights=values[there], minlength=n_users)
        counts = np.bincount(self.user[there], minlength=n_users)
        drawn = self.weights @ counts
        totals = self.weights @ sums
        return np.asarray(totals[drawn > 0] / drawn[drawn > 0])


def mean_over_users(values: Doubles, user: Codes) -> float:
    """Return the mean of each user's own mean; NaN values are left out.

    >>> mean_over_users(np.array([1.0, 1.0, 0.0]), np.array([0, 0, 1]))
    0.5
    """
    there = ~np.isnan(values)
    sums = np.bincount(user[there], weights=values[there])
    counts = np.bincount(user[there])
    return float((sums[counts > 0] / counts[counts > 0]).mean())

"""Confidence intervals by bootstrap over users, since a user's baskets are not independent."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def draw_users(random: np.random.Generator, n_users: int, n_samples: int) -> Codes:
    """Return [n_samples, n_users] how often each user is drawn, of n_users with replacement."""
    return random.multinomial(n_users, np.full(n_users, 1 / n_users), size=n_samples)


def central_interval(samples: Doubles, confidence: float) -> tuple[float, float]:
    """Return the interval that holds the central `confidence` of [n] samples, ignoring NaN.

    >>> central_interval(np.arange(101.0), 0.5)
    (25.0, 75.0)
    """
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(samples, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Bootstrap:
    """Resampled users, shared by all metrics, so that differences are paired.

    Attributes:
        user: [n] code of each request's user.
        weights: [n_samples, n_users] number of draws of each user.
        confidence: Confidence level of the intervals, 0..1.
    """

    user: Codes
    weights: npt.NDArray[np.int64]
    confidence: float

    @classmethod
    def of(cls, user: Codes, n_samples: int, confidence: float, seed: int) -> "Bootstrap":
        """Return a bootstrap with `n_samples` resamples of all users."""
        n_users = int(user.max(initial=-1)) + 1
        random = np.random.default_rng(seed)
        return cls(user, draw_users(random, n_users, n_samples), confidence)

    def interval(
        self, values: Doubles, chosen: npt.NDArray[np.bool_] | None = None
    ) -> tuple[float, float]:
        """Return the confidence interval of the mean over requests, ignoring NaN."""
        return central_interval(self._means(values, chosen), self.confidence)

    def paired(self, ours: Doubles, theirs: Doubles) -> dict[str, float]:
        """Return the mean paired difference of two methods and its interval."""
        difference = ours - theirs
        low, high = self.interval(difference)
        return {"difference": float(np.nanmean(difference)), "low": low, "high": high}

    def standard_error(self, values: Doubles, chosen: npt.NDArray[np.bool_] | None = None) -> float:
        """Return the standard error of the mean over requests, ignoring NaN."""
        return float(self._means(values, chosen).std())

    def correlation(self, ours: Doubles, theirs: Doubles) -> float:
        """Return the correlation of the means of two metrics over resamples; 0 if one is constant.

        Requests with a NaN in either are ignored.
        """
        chosen = ~np.isnan(ours) & ~np.isnan(theirs)
        first, second = self._means(ours, chosen), self._means(theirs, chosen)
        if np.ptp(first) == 0 or np.ptp(second) == 0:
            return 0.0
        return float(np.corrcoef(first, second)[0, 1])

    def _means(self, values: Doubles, chosen: npt.NDArray[np.bool_] | None) -> Doubles:
        is_known = ~np.isnan(values) if chosen is None else ~np.isnan(values) & chosen
        n_users = self.weights.shape[1]
        sums = np.bincount(self.user[is_known], weights=values[is_known], minlength=n_users)
        counts = np.bincount(self.user[is_known], minlength=n_users)
        drawn = self.weights @ counts
        totals = self.weights @ sums
        return np.asarray(totals[drawn > 0] / drawn[drawn > 0])


def mean_over_users(values: Doubles, user: Codes) -> float:
    """Return the mean over users of each user's mean, ignoring NaN.

    >>> mean_over_users(np.array([1.0, 1.0, 0.0]), np.array([0, 0, 1]))
    0.5
    """
    is_known = ~np.isnan(values)
    sums = np.bincount(user[is_known], weights=values[is_known])
    counts = np.bincount(user[is_known])
    return float((sums[counts > 0] / counts[counts > 0]).mean())

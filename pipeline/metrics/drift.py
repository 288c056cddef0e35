"""Drift statistics: shares of values in frozen bins, and the distance of two sets of shares.

The bins come from the test window and are stored as an artefact. Traffic is counted into the same
bins, so that moving edges cannot hide a shift.

Requests of one user are correlated: a thousand requests of twenty users carry little more
information than twenty requests. `effective_size` returns the equivalent number of independent
requests.
"""

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from pipeline.contracts.records import Record

SMALLEST_SHARE = 1e-4
BELOW = 1e-6
CHANCE = 1e-3  # probability that chance alone looks like drift


class Bins(Record):
    """Bins of a signal, and the share of values in each of them.

    Attributes:
        edges: [n_edges] inner edges in ascending order; a bin includes its upper edge.
        shares: [n_edges + 2] share of values in each bin, the last one of missing values.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    @model_validator(mode="after")
    def _each_bin_has_a_share(self) -> "Bins":
        if len(self.shares) != len(self.edges) + 2:
            message = f"{len(self.edges) + 2} shares for {len(self.edges)} edges"
            raise ValueError(f"expected {message}, got {len(self.shares)}")
        return self

    def compute_shares(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the share of `values` in each bin, then that of missing values."""
        return bin_shares(values, np.array(self.edges))

    def psi(self, values: npt.NDArray[np.float64]) -> float:
        """Return the population stability index of `values` against the stored shares."""
        return psi(np.array(self.shares), self.compute_shares(values))


def frozen_bins(values: npt.NDArray[np.float64], n_bins: int) -> Bins:
    """Return inner edges at the quantiles of `values`, and the share of values in each bin.

    The first bin lies below all values and the last but one above them, for unseen values. The
    last share is that of missing values. Equal edges are merged.

    >>> frozen_bins(np.array([1.0, 1.0, 2.0, np.nan]), 2)
    Bins(edges=(0.999999, 1.0, 2.0), shares=(0.0, 0.5, 0.25, 0.0, 0.25))
    """
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return Bins(edges=(), shares=tuple(bin_shares(values, known).tolist()))
    inner = np.quantile(known, np.linspace(0, 1, n_bins + 1)[1:-1])
    ends = [known.min() - BELOW, known.max()]
    edges = np.unique(np.round([*ends, *inner], 6))
    return Bins(edges=tuple(edges.tolist()), shares=tuple(bin_shares(values, edges).tolist()))


def effective_size(
    values: npt.NDArray[np.float64],
    edges: npt.NDArray[np.float64],
    user: npt.NDArray[np.int64],
) -> float:
    """Return the number of independent requests whose shares vary as much as these by chance.

    The sampling units are users. The covariance of their shares makes the PSI a weighted sum of
    chi-squares (Rao and Scott, 1981, doi:10.1080/01621459.1981.10477633). A scaled chi-square of
    the same mean and variance approximates its tail at the probability CHANCE (Satterthwaite,
    1946, doi:10.2307/3002019). The result is the number of independent requests with the same
    tail, between 1 and n; it is the number of users if all values lie in one bin.

    Args:
        values: [n] values of a signal.
        edges: Inner edges of the frozen bins.
        user: [n] user code of each request.

    >>> values, edges, request = np.repeat([0.0, 1.0], 50), np.array([0.5]), np.arange(100)
    >>> [round(effective_size(values, edges, request // n)) for n in (1, 5)]
    [99, 19]
    """
    counts = _bin_counts(values, edges, user)
    n_users, n = len(counts), counts.sum()
    shares = counts.sum(axis=0) / max(n, 1)
    is_filled = shares > 0
    degrees = int(is_filled.sum()) - 1
    if n_users < 2 or degrees < 1:  # noqa: PLR2004  one shopper, or one bin, shows no variance
        return float(max(n_users, 1))
    off = (counts - np.outer(counts.sum(axis=1), shares))[:, is_filled] / n
    off *= np.sqrt(n_users / (n_users - 1) / shares[is_filled])
    covariance = off.T @ off
    mean, square = float(np.trace(covariance)), float((covariance**2).sum())
    tail = square / mean * _chi_square_tail(mean**2 / square)
    return float(np.clip(_chi_square_tail(degrees) / tail, 1.0, n))


def _bin_counts(
    values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64], user: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return [n_users, n_bins] the number of requests of each user in each bin."""
    place = np.searchsorted(edges, values, side="left")
    place[np.isnan(values)] = len(edges) + 1
    code = np.unique(user, return_inverse=True)[1]
    shape = int(code.max(initial=-1)) + 1, len(edges) + 2
    flat = np.bincount(code * shape[1] + place, minlength=shape[0] * shape[1])
    return np.asarray(flat.reshape(shape), dtype=np.int64)


def _chi_square_tail(degrees: float) -> float:
    """Return the value that a chi-square exceeds with the probability CHANCE."""
    from scipy.special import gammaincinv

    return 2.0 * float(gammaincinv(degrees / 2.0, 1.0 - CHANCE))


def bin_shares(
    values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the share of values in each bin (upper edge included), then of missing values."""
    missing = np.isnan(values)
    place = np.searchsorted(edges, values[~missing], side="left")
    counts = np.bincount(place, minlength=len(edges) + 1)
    return np.asarray(np.append(counts, missing.sum()) / max(len(values), 1))


def psi(reference: npt.NDArray[np.float64], current: npt.NDArray[np.float64]) -> float:
    """Return the population stability index of two sets of shares over the same bins.

    The formula is sum((c - r) * ln(c / r)), at least 0; empty bins count as SMALLEST_SHARE.

    >>> round(psi(np.array([0.5, 0.5]), np.array([0.25, 0.75])), 4)
    0.2747
    """
    r = np.maximum(reference, SMALLEST_SHARE)
    c = np.maximum(current, SMALLEST_SHARE)
    return float(((c - r) * np.log(c / r)).sum())

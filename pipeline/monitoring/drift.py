"""Drift of each signal from the frozen reference, and its limit.

The limit is the largest of three values: the threshold, the drift within the test window, and the
drift that chance causes with as many requests of as many users.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.metrics.drift import CHANCE, SMALLEST_SHARE, effective_size, frozen_bins
from pipeline.testing.measure import EvaluationSet
from pipeline.testing.reference import SignalReference, largest_weekly_psi
from pipeline.testing.signals import INPUTS, OUTPUTS

Kind = Literal["input", "output", "label"]
LABELS = ("n_labels", "repeat_label_share")
KINDS: dict[str, Kind] = {
    **dict.fromkeys(INPUTS, "input"),
    **dict.fromkeys(OUTPUTS, "output"),
    **dict.fromkeys(LABELS, "label"),
}
WHOLE_WINDOW = ("weekday",)  # measured over whole weeks only, see Drift.against
N_DRAWS = 4000  # a share of CHANCE lies beyond the limit


@dataclass(frozen=True)
class Drift:
    """The drift of one signal from its reference.

    Attributes:
        signal: Name of the signal.
        kind: Whether it describes inputs, outputs or labels.
        psi: PSI of the whole window.
        weekly: PSI of each week, in order; NaN for a week without requests.
        natural: Largest PSI between the reference and one of its own weeks.
        chance: PSI that sampling exceeds once in a thousand windows of this size.
        weekly_chance: PSI that sampling exceeds once in a thousand weeks, for each week's size.
    """

    signal: str
    kind: Kind
    psi: float
    weekly: tuple[float, ...]
    natural: float
    chance: float
    weekly_chance: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The largest PSI of the window or a week, so that a late break is not averaged out."""
        return max(psi for psi, _ in self._spans)

    def against(self, threshold: float) -> tuple[float, float]:
        """Return PSI and bound of the window or week with the largest ratio of the two.

        Args:
            threshold: Lower limit of the bound.
        """
        pairs = [(psi, max(threshold, self.natural, chance)) for psi, chance in self._spans]
        return max(pairs, key=lambda pair: (pair[0] / pair[1], pair[0]))

    def is_beyond(self, threshold: float) -> bool:
        """Return whether the window or a week drifted beyond its bound."""
        psi, allowed = self.against(threshold)
        return psi > allowed

    @property
    def _spans(self) -> list[tuple[float, float]]:
        """PSI and chance of the window and of each week with requests.

        Weekdays count over the whole window only: a week holds each weekday once, so a single
        holiday would look like a break.
        """
        weeks = (
            [] if self.signal in WHOLE_WINDOW else zip(self.weekly, self.weekly_chance, strict=True)
        )
        return [(self.psi, self.chance), *(pair for pair in weeks if not np.isnan(pair[0]))]


def chance_psi(
    shares: npt.NDArray[np.float64], n_reference: float, n_current: float, seed: int
) -> float:
    """Return the PSI that two samples of one population exceed once in a thousand.

    It is simulated, because the usual chi-square approximation (Yurdakul, 2018, Western Michigan
    University dissertation 3208) ignores that small samples leave bins empty.

    Args:
        shares: Share of the population in each bin.
        n_reference: Independent requests of the reference, see `effective_size`.
        n_current: Independent requests of the window.
        seed: Seed of the draws.

    >>> chance_psi(np.array([1.0]), 10, 10, seed=1)
    0.0
    """
    random = np.random.default_rng(seed)
    population = np.maximum(shares, 0.0) / shares.sum()
    reference, current = (
        np.maximum(random.multinomial(size, population, N_DRAWS) / size, SMALLEST_SHARE)
        for size in (max(round(n_reference), 1), max(round(n_current), 1))
    )
    distances = ((current - reference) * np.log(current / reference)).sum(axis=1)
    return float(np.quantile(distances, 1.0 - CHANCE))


@dataclass(frozen=True)
class RequestTimes:
    """The week and the user of each request.

    Attributes:
        week: [n] week, from 0.
        user: [n] code of the user.
        n_weeks: Number of weeks, the last of which may have no requests; None to count them.
    """

    week: npt.NDArray[np.int64]
    user: npt.NDArray[np.int64]
    n_weeks: int | None = None

    @property
    def weeks(self) -> range:
        """All weeks."""
        return range(int(self.week.max(initial=-1)) + 1 if self.n_weeks is None else self.n_weeks)

    def select(self, chosen: npt.NDArray[np.bool_]) -> "RequestTimes":
        """Return the chosen requests, with the same weeks."""
        return RequestTimes(self.week[chosen], self.user[chosen], len(self.weeks))


def label_signals(evaluation_set: EvaluationSet) -> pd.DataFrame:
    """Return LABELS per request; NaN without a purchase."""
    n_true = evaluation_set.n_true.astype(float)
    repeats = np.bincount(evaluation_set.label_row[evaluation_set.is_repeat], minlength=len(n_true))
    share = np.divide(repeats, n_true, out=np.full(len(n_true), np.nan), where=n_true > 0)
    return pd.DataFrame({"n_labels": n_true, "repeat_label_share": share})


def add_label_bins(
    reference: SignalReference, signals: pd.DataFrame, request_times: RequestTimes, n_bins: int
) -> SignalReference:
    """Return the reference with bins for the labels' signals of the test window.

    Args:
        reference: The reference of testing.
        signals: LABELS per request of the test window.
        request_times: Weeks and users of these requests.
        n_bins: Number of bins per signal.
    """
    bins, weekly = dict(reference.bins), dict(reference.weekly_psi)
    sizes = dict(reference.effective_requests)
    for name in signals.columns:
        values = signals[name].to_numpy(dtype=float)
        bins[name] = frozen_bins(values, n_bins)
        weekly[name] = largest_weekly_psi(bins[name], values, request_times.week)
        sizes[name] = effective_size(values, np.array(bins[name].edges), request_times.user)
    return SignalReference(bins=bins, weekly_psi=weekly, effective_requests=sizes)


def measure_drifts(
    signals: pd.DataFrame, request_times: RequestTimes, reference: SignalReference, seed: int
) -> tuple[Drift, ...]:
    """Return the drift of every signal with bins in the reference.

    Args:
        signals: One column per signal, one row per request.
        request_times: Weeks and users of these requests.
        reference: The reference, with bins for the signals to compare.
        seed: Seed of the simulation of chance.
    """
    return tuple(
        _drift(name, signals[name].to_numpy(dtype=float), request_times, reference, seed)
        for name in KINDS
        if name in signals and name in reference.bins
    )


def _drift(
    name: str,
    values: npt.NDArray[np.float64],
    request_times: RequestTimes,
    reference: SignalReference,
    seed: int,
) -> Drift:
    bins, n_reference = reference.bins[name], reference.effective_requests[name]
    edges, shares = np.array(bins.edges), np.array(bins.shares)

    def measure(chosen: npt.NDArray[np.bool_]) -> tuple[float, float]:
        if not chosen.any():
            return float("nan"), float("nan")
        n_current = effective_size(values[chosen], edges, request_times.user[chosen])
        return (
            bins.psi(values[chosen]),
            chance_psi(shares, n_reference, n_current, seed),
        )

    whole = measure(np.ones(len(values), dtype=bool))
    weeks = [measure(request_times.week == week) for week in request_times.weeks]
    return Drift(
        signal=name,
        kind=KINDS[name],
        psi=whole[0],
        weekly=tuple(value for value, _ in weeks),
        natural=reference.weekly_psi[name],
        chance=whole[1],
        weekly_chance=tuple(chance for _, chance in weeks),
    )

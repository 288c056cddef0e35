"""How far traffic has moved from the frozen reference, signal by signal, and how far it may.

A signal may move as far as its threshold, as far as it moved by itself within the test window, and
as far as chance moves as many requests of as many shoppers; only beyond all three has it moved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.metrics.drift import (
    CHANCE,
    SMALLEST_SHARE,
    bin_shares,
    effective_size,
    frozen_bins,
    psi,
)
from pipeline.testing.measure import EvaluationSet
from pipeline.testing.signals import INPUTS, OUTPUTS

Kind = Literal["input", "output", "label"]
LABELS = ("n_labels", "repeat_label_share")
KINDS: dict[str, Kind] = {
    **dict.fromkeys(INPUTS, "input"),
    **dict.fromkeys(OUTPUTS, "output"),
    **dict.fromkeys(LABELS, "label"),
}
WHOLE_WINDOW = ("weekday",)
N_DRAWS = 4000  # of which CHANCE lies beyond


@dataclass(frozen=True)
class Drift:
    """One signal against its reference.

    Attributes:
        signal: Its name.
        kind: What it is a signal of.
        psi: Of the whole window.
        weekly: PSI of each week, in order; NaN for a week without requests.
        natural: Largest PSI between the reference and one of its own weeks.
        chance: What sampling alone reaches once in a thousand windows of this size.
        weekly_chance: What it reaches once in a thousand weeks of each week's size.
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
        """The largest PSI, of the window or of a week: a late break is not averaged away."""
        return max(psi for psi, _ in self._spans)

    def against(self, threshold: float) -> tuple[float, float]:
        """Return PSI and bound of the window or week that is nearest to, or furthest beyond, it.

        Args:
            threshold: What would be too much, were there no variation of its own and no chance.
        """
        held = [(psi, max(threshold, self.natural, chance)) for psi, chance in self._spans]
        return max(held, key=lambda pair: (pair[0] / pair[1], pair[0]))

    def is_beyond(self, threshold: float) -> bool:
        """Tell whether the window or a week moved further than it may."""
        psi, allowed = self.against(threshold)
        return psi > allowed

    @property
    def _spans(self) -> list[tuple[float, float]]:
        """PSI and chance of the window and of each week that has requests.

        A week holds each day of the week once, so that a single holiday would look like a break:
        weekdays count over the whole window only.
        """
        weeks = (
            [] if self.signal in WHOLE_WINDOW else zip(self.weekly, self.weekly_chance, strict=True)
        )
        return [(self.psi, self.chance), *(pair for pair in weeks if not np.isnan(pair[0]))]


def chance_psi(
    shares: npt.NDArray[np.float64], n_reference: float, n_current: float, seed: int
) -> float:
    """Return the PSI that two samples of one population exceed once in a thousand.

    By drawing such samples, since the usual chi-square (Yurdakul, 2018, Western Michigan University
    dissertation 3208) does not know that small samples leave bins empty.

    Args:
        shares: Of the population in each bin.
        n_reference: Independent requests of the reference, as by `effective_size`.
        n_current: Those of the window.
        seed: Of the draws.

    >>> chance_psi(np.array([1.0]), 10, 10, seed=1)
    0.0
    """
    random = np.random.default_rng(seed)
    population = np.maximum(shares, 0.0) / shares.sum()
    reference, current = (
        np.maximum(random.multinomial(size, population, N_DRAWS) / size, SMALLEST_SHARE)
        for size in (max(round(n_reference), 1), max(round(n_current), 1))
    )
    found = ((current - reference) * np.log(current / reference)).sum(axis=1)
    return float(np.quantile(found, 1.0 - CHANCE))


@dataclass(frozen=True)
class RequestTimes:
    """When requests came and from whom.

    Attributes:
        week: [n] from 0.
        user: [n] code of the shopper.
    """

    week: npt.NDArray[np.int64]
    user: npt.NDArray[np.int64]


def label_signals(questions: EvaluationSet) -> pd.DataFrame:
    """Return LABELS per request; NaN where nothing was bought."""
    n_true = questions.n_true.astype(float)
    own = np.bincount(questions.label_row[questions.is_repeat], minlength=len(n_true))
    share = np.divide(own, n_true, out=np.full(len(n_true), np.nan), where=n_true > 0)
    return pd.DataFrame({"n_labels": n_true, "repeat_label_share": share})


def with_label_bins(
    reference: Mapping[str, Any], signals: pd.DataFrame, asked: RequestTimes, n_bins: int
) -> dict[str, Any]:
    """Return the reference with bins for the labels' signals of the test window.

    Args:
        reference: Contents of reports/testing/reference.json.
        signals: LABELS per request of the test window.
        asked: When and by whom.
        n_bins: How many.
    """
    bins, weekly = dict(reference["bins"]), dict(reference["weekly_psi"])
    sizes = dict(reference["effective_requests"])
    for name in signals.columns:
        values = signals[name].to_numpy(dtype=float)
        bins[name] = frozen_bins(values, n_bins)
        edges, shares = np.array(bins[name]["edges"]), np.array(bins[name]["shares"])
        weeks = (asked.week == week for week in np.unique(asked.week))
        weekly[name] = max(psi(shares, bin_shares(values[week], edges)) for week in weeks)
        sizes[name] = effective_size(values, edges, asked.user)
    return {**reference, "bins": bins, "weekly_psi": weekly, "effective_requests": sizes}


def drifts_of(
    signals: pd.DataFrame, asked: RequestTimes, reference: Mapping[str, Any], seed: int
) -> tuple[Drift, ...]:
    """Return the drift of every signal that the reference has bins for.

    Args:
        signals: One column per signal, one row per request.
        asked: When and by whom.
        reference: `bins`, `weekly_psi` and `effective_requests`.
        seed: Of the draws that say how far chance goes.
    """
    return tuple(
        _drift(name, signals[name].to_numpy(dtype=float), asked, reference, seed)
        for name in KINDS
        if name in signals and name in reference["bins"]
    )


def _drift(
    name: str,
    values: npt.NDArray[np.float64],
    asked: RequestTimes,
    reference: Mapping[str, Any],
    seed: int,
) -> Drift:
    bins = reference["bins"][name]
    edges, shares = np.array(bins["edges"]), np.array(bins["shares"])
    n_reference = reference["effective_requests"][name]

    def held(chosen: npt.NDArray[np.bool_]) -> tuple[float, float]:
        if not chosen.any():
            return float("nan"), float("nan")
        n_current = effective_size(values[chosen], edges, asked.user[chosen])
        return (
            psi(shares, bin_shares(values[chosen], edges)),
            chance_psi(shares, n_reference, n_current, seed),
        )

    whole = held(np.ones(len(values), dtype=bool))
    weeks = [held(asked.week == week) for week in range(int(asked.week.max(initial=-1)) + 1)]
    return Drift(
        signal=name,
        kind=KINDS[name],
        psi=whole[0],
        weekly=tuple(found for found, _ in weeks),
        natural=float(reference["weekly_psi"].get(name, 0.0)),
        chance=whole[1],
        weekly_chance=tuple(chance for _, chance in weeks),
    )

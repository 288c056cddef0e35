"""How far traffic has moved from the frozen reference, signal by signal, and how far it may.

A signal may move as far as its threshold, as far as it moved by itself within the test window, and
as far as chance moves a window of this size; only beyond all three has it moved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.testing.measure import Questions
from pipeline.testing.signals import INPUTS, OUTPUTS, bin_shares, frozen_bins, psi

Kind = Literal["input", "output", "label"]
LABELS = ("n_labels", "repeat_label_share")
KINDS: dict[str, Kind] = {
    **dict.fromkeys(INPUTS, "input"),
    **dict.fromkeys(OUTPUTS, "output"),
    **dict.fromkeys(LABELS, "label"),
}
WHOLE_WINDOW = ("weekday",)
CHANCE_SIGMAS = 3.09  # one in a thousand, one-sided


@dataclass(frozen=True)
class Drift:
    """One signal against its reference.

    Attributes:
        signal: Its name.
        kind: What it is a signal of.
        psi: Of the whole window.
        weekly: PSI of each week, in order; NaN for a week without requests.
        natural: Largest PSI between the reference and one of its own weeks.
        chance: What sampling alone reaches once in a thousand weeks of this size.
    """

    signal: str
    kind: Kind
    psi: float
    weekly: tuple[float, ...]
    natural: float
    chance: float

    @property
    def worst(self) -> float:
        """The largest PSI, of the window or of a week: a late break is not averaged away.

        A week holds each day of the week once, so that a single holiday would look like a break:
        weekdays count over the whole window only.
        """
        return (
            self.psi if self.signal in WHOLE_WINDOW else float(np.nanmax([self.psi, *self.weekly]))
        )

    def allowed(self, threshold: float) -> float:
        """Return how far it may move when `threshold` is what would be too much."""
        return max(threshold, self.natural, self.chance)

    def is_beyond(self, threshold: float) -> bool:
        """Tell whether it moved further than that."""
        return self.worst > self.allowed(threshold)


def chance_psi(n_bins: int, n_reference: int, n_current: int) -> float:
    """Return the PSI that two samples of one population exceed once in a thousand.

    PSI is close to (1 / n + 1 / m) times chi-square with one degree of freedom fewer than bins
    (Yurdakul, 2018, Western Michigan University dissertation 3208); its quantile by Wilson and
    Hilferty (1931, doi:10.1073/pnas.17.12.684).

    >>> round(chance_psi(11, 1000, 1000), 4)
    0.0595
    >>> chance_psi(1, 10, 10)
    0.0
    """
    degrees = n_bins - 1
    if degrees < 1 or min(n_reference, n_current) < 1:
        return 0.0
    spread = 2 / (9 * degrees)
    quantile = degrees * (1 - spread + CHANCE_SIGMAS * spread**0.5) ** 3
    return float(quantile * (1 / n_reference + 1 / n_current))


def label_signals(questions: Questions) -> pd.DataFrame:
    """Return LABELS per request; NaN where nothing was bought."""
    n_true = questions.n_true.astype(float)
    own = np.bincount(questions.label_row[questions.is_repeat], minlength=len(n_true))
    share = np.divide(own, n_true, out=np.full(len(n_true), np.nan), where=n_true > 0)
    return pd.DataFrame({"n_labels": n_true, "repeat_label_share": share})


def with_label_bins(
    reference: Mapping[str, Any], signals: pd.DataFrame, week: npt.NDArray[np.int64], n_bins: int
) -> dict[str, Any]:
    """Return the reference with bins for the labels' signals of the test window.

    Args:
        reference: Contents of reports/testing/reference.json.
        signals: LABELS per request of the test window.
        week: [n] of each request.
        n_bins: How many.
    """
    bins, weekly = dict(reference["bins"]), dict(reference["weekly_psi"])
    for name in signals.columns:
        values = signals[name].to_numpy(dtype=float)
        bins[name] = frozen_bins(values, n_bins)
        edges, shares = np.array(bins[name]["edges"]), np.array(bins[name]["shares"])
        weekly[name] = max(psi(shares, bin_shares(values[week == w], edges)) for w in set(week))
    return {**reference, "bins": bins, "weekly_psi": weekly}


def drifts_of(
    signals: pd.DataFrame, week: npt.NDArray[np.int64], reference: Mapping[str, Any]
) -> tuple[Drift, ...]:
    """Return the drift of every signal that the reference has bins for.

    Args:
        signals: One column per signal, one row per request.
        week: [n] of each request, from 0.
        reference: `bins`, `weekly_psi` and `n_requests`.
    """
    sizes = np.bincount(week)
    found = []
    for name in (name for name in KINDS if name in signals and name in reference["bins"]):
        edges = np.array(reference["bins"][name]["edges"])
        shares = np.array(reference["bins"][name]["shares"])
        values = signals[name].to_numpy(dtype=float)
        weekly = tuple(
            psi(shares, bin_shares(values[week == w], edges)) if size else float("nan")
            for w, size in enumerate(sizes)
        )
        smallest = int(sizes[sizes > 0].min())
        found.append(
            Drift(
                signal=name,
                kind=KINDS[name],
                psi=psi(shares, bin_shares(values, edges)),
                weekly=weekly,
                natural=float(reference["weekly_psi"].get(name, 0.0)),
                chance=chance_psi(len(shares), int(reference["n_requests"]), smallest),
            )
        )
    return tuple(found)

"""What production is later held against: the champion on the test window, as it would be served."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.metrics.drift import bin_shares, effective_size, frozen_bins, psi
from pipeline.testing.evaluate import Protocol, served_quality
from pipeline.testing.measure import beyond_accuracy
from pipeline.testing.signals import INPUTS, OUTPUTS, input_signals, output_signals

DAYS_PER_WEEK = 7


def reference_of(
    protocol: Protocol,
    champion: str,
    popularity: npt.NDArray[np.float64],
    *,
    n_bins: int,
    k: int,
    explore_slots: int,
) -> dict[str, Any]:
    """Return bins, how they vary by themselves, and the quality to expect with its interval.

    `weekly_psi` is how far a week of the test window was from the whole; `effective_requests` how
    many independent requests would move the bins as far by chance.
    """
    questions, served = protocol.questions, protocol.answers[champion].served
    signals = pd.concat(
        [input_signals(questions.requests), output_signals(served, popularity)], axis=1
    )
    week = _weeks(questions.examples)
    bins = {name: frozen_bins(signals[name].to_numpy(), n_bins) for name in (*INPUTS, *OUTPUTS)}
    return {
        "champion": champion,
        "k": k,
        "explore_slots": explore_slots,
        "n_requests": len(questions.examples),
        "bins": bins,
        "weekly_psi": {
            name: _largest_psi(signals[name].to_numpy(), week, each) for name, each in bins.items()
        },
        "effective_requests": {
            name: effective_size(
                signals[name].to_numpy(), np.array(each["edges"]), protocol.bootstrap.user
            )
            for name, each in bins.items()
        },
        "confidence": protocol.bootstrap.confidence,
        "quality": served_quality(protocol, champion, k),
    } | beyond_accuracy(served.items, popularity, k)


def _weeks(examples: pd.DataFrame) -> npt.NDArray[np.int64]:
    since = examples["timestamp"] - examples["cutoff"]
    return np.asarray(since.dt.days.to_numpy() // DAYS_PER_WEEK)


def _largest_psi(
    values: npt.NDArray[np.float64], week: npt.NDArray[np.int64], bins: dict[str, Any]
) -> float:
    edges, shares = np.array(bins["edges"]), np.array(bins["shares"])
    return max(psi(shares, bin_shares(values[week == w], edges)) for w in np.unique(week))

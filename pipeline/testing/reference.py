"""Reference for monitoring: the champion on the test window, as served."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.metrics.drift import bin_shares, effective_size, frozen_bins, psi
from pipeline.testing.comparison import Protocol, served_quality
from pipeline.testing.measure import beyond_accuracy
from pipeline.testing.signals import INPUTS, OUTPUTS, input_signals, output_signals

DAYS_PER_WEEK = 7


def build_reference(
    protocol: Protocol,
    champion: str,
    popularity: npt.NDArray[np.float64],
    *,
    n_bins: int,
    k: int,
    explore_slots: int,
) -> dict[str, Any]:
    """Return bins, their natural variation, and the expected quality with its interval.

    `weekly_psi` is the largest PSI of a week of the test window against the whole window;
    `effective_requests` is the number of independent requests with the same chance variation.
    """
    evaluation_set, served = protocol.evaluation_set, protocol.predictions[champion].served
    signals = pd.concat(
        [input_signals(evaluation_set.requests), output_signals(served, popularity)], axis=1
    )
    week = _weeks(evaluation_set.examples)
    bins = {name: frozen_bins(signals[name].to_numpy(), n_bins) for name in (*INPUTS, *OUTPUTS)}
    return {
        "champion": champion,
        "k": k,
        "explore_slots": explore_slots,
        "n_requests": len(evaluation_set.examples),
        "bins": bins,
        "weekly_psi": {
            name: _largest_psi(signals[name].to_numpy(), week, signal_bins)
            for name, signal_bins in bins.items()
        },
        "effective_requests": {
            name: effective_size(
                signals[name].to_numpy(), np.array(signal_bins["edges"]), protocol.bootstrap.user
            )
            for name, signal_bins in bins.items()
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

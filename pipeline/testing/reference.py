"""Reference for monitoring: the champion on the test window, as served."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ConfigDict, Field, model_validator

from pipeline.contracts.records import Record
from pipeline.contracts.testing_report import MetricSummary
from pipeline.metrics.drift import Bins, effective_size, frozen_bins
from pipeline.testing.comparison import Protocol, served_quality
from pipeline.testing.measure import beyond_accuracy
from pipeline.testing.signals import INPUTS, OUTPUTS, input_signals, output_signals

DAYS_PER_WEEK = 7


class SignalReference(Record):
    """The distribution of each signal on the test window.

    Attributes:
        bins: Frozen bins by signal.
        weekly_psi: Largest PSI of a week of the window against the whole window, by signal.
        effective_requests: Number of independent requests with the same chance variation, by
            signal.
    """

    bins: dict[str, Bins]
    weekly_psi: dict[str, float]
    effective_requests: dict[str, float]

    @model_validator(mode="after")
    def _each_signal_is_complete(self) -> "SignalReference":
        for name in ("weekly_psi", "effective_requests"):
            missing = sorted(set(self.bins) ^ set(getattr(self, name)))
            if missing:
                raise ValueError(f"expected the signals of bins in {name}, got others: {missing}")
        return self


class Reference(SignalReference):
    """reports/testing/reference.json: what monitoring compares production with.

    Attributes:
        champion: Name of the champion.
        k: Length of the served lists.
        explore_slots: Explore slots of the served lists.
        n_requests: Requests of the test window.
        confidence: Confidence of the intervals, in 0..1.
        quality: Quality of the served lists.
    """

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, float] = Field(init=False)
    champion: str
    k: int
    explore_slots: int
    n_requests: int
    confidence: float
    quality: MetricSummary

    @property
    def coverage(self) -> float:
        """Share of all items that appear in any list, `coverage@k` in the file."""
        return self.__pydantic_extra__[f"coverage@{self.k}"]

    @model_validator(mode="after")
    def _has_the_numbers_at_k(self) -> "Reference":
        names = {f"{name}@{self.k}" for name in ("coverage", "novelty", "popularity_bias")}
        wrong = sorted(names ^ set(self.__pydantic_extra__))
        if wrong:
            raise ValueError(f"expected the keys {', '.join(sorted(names))}, got others: {wrong}")
        measured = {f"{name}@{self.k}" for name in ("recall", "ndcg", "hit_rate")}
        if not measured <= set(self.quality.interval):
            present = ", ".join(self.quality.interval)
            message = f"expected {', '.join(sorted(measured))} in quality.interval, got {present}"
            raise ValueError(message)
        return self


def build_reference(
    protocol: Protocol,
    champion: str,
    popularity: npt.NDArray[np.float64],
    *,
    n_bins: int,
    k: int,
    explore_slots: int,
) -> Reference:
    """Return bins, their natural variation, and the expected quality with its interval."""
    evaluation_set, served = protocol.evaluation_set, protocol.predictions[champion].served
    signals = pd.concat(
        [input_signals(evaluation_set.requests), output_signals(served, popularity)], axis=1
    )
    week = _weeks(evaluation_set.examples)
    bins = {name: frozen_bins(signals[name].to_numpy(), n_bins) for name in (*INPUTS, *OUTPUTS)}
    return Reference(
        champion=champion,
        k=k,
        explore_slots=explore_slots,
        n_requests=len(evaluation_set.examples),
        bins=bins,
        weekly_psi={
            name: largest_weekly_psi(signal_bins, signals[name].to_numpy(), week)
            for name, signal_bins in bins.items()
        },
        effective_requests={
            name: effective_size(
                signals[name].to_numpy(), np.array(signal_bins.edges), protocol.bootstrap.user
            )
            for name, signal_bins in bins.items()
        },
        confidence=protocol.bootstrap.confidence,
        quality=served_quality(protocol, champion, k),
        **beyond_accuracy(served.items, popularity, k),
    )


def _weeks(examples: pd.DataFrame) -> npt.NDArray[np.int64]:
    since = examples["timestamp"] - examples["cutoff"]
    return np.asarray(since.dt.days.to_numpy() // DAYS_PER_WEEK)


def largest_weekly_psi(
    bins: Bins, values: npt.NDArray[np.float64], week: npt.NDArray[np.int64]
) -> float:
    """Return the largest PSI of a week against the bins.

    Args:
        bins: Bins of all values.
        values: [n] values of the signal.
        week: [n] week of each value.
    """
    return max(bins.psi(values[week == number]) for number in np.unique(week))

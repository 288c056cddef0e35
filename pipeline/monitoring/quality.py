"""Quality of the served lists, measured by later purchases."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.params import MonitoringParams
from pipeline.metrics import ranking
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.recommenders.base.recommender import Recommendations
from pipeline.testing.measure import EvaluationSet
from pipeline.testing.reference import Reference

Doubles = npt.NDArray[np.float64]
State = Literal["kept", "unsure", "lost"]


@dataclass(frozen=True)
class Quality:
    """A metric of some requests, and its estimate from testing.

    Attributes:
        value: Mean over requests.
        low: Lower end of the interval.
        high: Upper end of the interval.
        reference: The test estimate.
        n: Number of requests with labels.
        reference_low: Lower end of the test estimate's interval, at the same confidence.
        reference_high: Upper end of the test estimate's interval.
    """

    value: float
    low: float
    high: float
    reference: float
    n: int
    reference_low: float
    reference_high: float

    def difference(self, kept_fraction: float) -> tuple[float, float]:
        """Return the interval of the value minus a share of the test estimate.

        Both are estimates from different weeks, so their squared errors add up (Zou and Donner,
        2008, doi:10.1002/sim.3095). As the users are the same, the interval is rather too wide.

        >>> low, high = Quality(0.12, 0.09, 0.16, 0.10, 900, 0.07, 0.14).difference(1.0)
        >>> round(low, 4), round(high, 4)
        (-0.03, 0.07)
        """
        value = self.value - kept_fraction * self.reference
        below = np.hypot(
            self.value - self.low, kept_fraction * (self.reference_high - self.reference)
        )
        above = np.hypot(
            self.high - self.value, kept_fraction * (self.reference - self.reference_low)
        )
        return float(value - below), float(value + above)

    def state(self, maximum_loss_fraction: float) -> State:
        """Return whether the difference to the allowed loss lies below, above or across 0.

        >>> Quality(0.12, 0.11, 0.13, 0.15, 900, 0.14, 0.16).state(0.1)
        'lost'
        >>> Quality(0.15, 0.146, 0.154, 0.15, 900, 0.146, 0.154).state(0.1)
        'kept'
        """
        low, high = self.difference(1 - maximum_loss_fraction)
        if high < 0:
            return "lost"
        return "kept" if low >= 0 else "unsure"


@dataclass(frozen=True)
class Expected:
    """The test estimate of one metric, with its interval."""

    value: float
    low: float
    high: float


def read_expected(testing: Reference, confidence: float) -> dict[str, Expected]:
    """Return the test estimate of each metric, with intervals at this confidence.

    Intervals at another confidence are rescaled as for a normal distribution.

    Args:
        testing: The reference of testing.
        confidence: Confidence of the intervals, in 0..1.
    """
    quality = testing.quality
    stretch = _half_width(confidence) / _half_width(testing.confidence)
    return {
        name: Expected(
            value=value,
            low=value + stretch * (low - value),
            high=value + stretch * (high - value),
        )
        for name, (low, high) in quality.interval.items()
        for value in [quality.mean(name)]
    }


def _half_width(confidence: float) -> float:
    """Return half the width of a central interval of the standard normal distribution."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def compute_metrics(
    served: Recommendations, evaluation_set: EvaluationSet, k: int
) -> dict[str, Doubles]:
    """Return each metric of the served lists, one value per request; NaN without labels."""
    hits = ranking.hit_matrix(served.items, evaluation_set.label_row, evaluation_set.label_item)
    return {
        f"recall@{k}": ranking.recall_at_k(hits, evaluation_set.n_true, k),
        f"ndcg@{k}": ranking.ndcg_at_k(hits, evaluation_set.n_true, k),
        f"hit_rate@{k}": ranking.hit_rate_at_k(hits, evaluation_set.n_true, k),
    }


def user_codes(examples: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return [n] the code of each example's user."""
    return np.unique(examples["user_id"].to_numpy(dtype=object), return_inverse=True)[1]


def build_bootstrap(
    evaluation_set: EvaluationSet, params: MonitoringParams, seed: int
) -> Bootstrap:
    """Return the bootstrap over the users of these requests."""
    user = user_codes(evaluation_set.examples)
    return Bootstrap.of(user, params.bootstrap_samples, params.confidence, seed)


def measure_quality(
    values: dict[str, Doubles],
    bootstrap: Bootstrap,
    expected: Mapping[str, Expected],
    chosen: npt.NDArray[np.bool_] | None = None,
) -> dict[str, Quality]:
    """Return each metric with its interval; metrics without labelled requests are omitted.

    Args:
        values: Result of `compute_metrics`.
        bootstrap: Bootstrap of the same requests.
        expected: Result of `read_expected`.
        chosen: [n] mask of requests, such as those of a week; None for all.
    """
    quality = {}
    for name, metric in values.items():
        is_measured = ~np.isnan(metric) if chosen is None else ~np.isnan(metric) & chosen
        if is_measured.any():
            low, high = bootstrap.interval(metric, is_measured)
            promised = expected[name]
            quality[name] = Quality(
                value=float(metric[is_measured].mean()),
                low=low,
                high=high,
                reference=promised.value,
                n=int(is_measured.sum()),
                reference_low=promised.low,
                reference_high=promised.high,
            )
    return quality

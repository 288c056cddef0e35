"""How good the served lists were, once it is known what was bought."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.params import MonitoringParams
from pipeline.metrics import ranking
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.recommenders.base.recommender import Recommendations
from pipeline.testing.measure import EvaluationSet

Doubles = npt.NDArray[np.float64]
State = Literal["kept", "unsure", "lost"]


@dataclass(frozen=True)
class Quality:
    """A metric of some requests beside what testing promised.

    Attributes:
        value: Mean over requests.
        low: Lower end of its interval.
        high: Upper end.
        reference: The test estimate.
        n: Requests with labels.
        reference_low: Lower end of the test estimate's interval, at the same confidence.
        reference_high: Upper end.
    """

    value: float
    low: float
    high: float
    reference: float
    n: int
    reference_low: float
    reference_high: float

    def difference(self, kept_fraction: float) -> tuple[float, float]:
        """Return the interval of the value less that share of the test estimate.

        Both are estimates, of other weeks: their errors add up as squares (Zou and Donner, 2008,
        doi:10.1002/sim.3095). That the shoppers are the same makes it rather too wide.

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
        """Return whether the difference to what may be lost lies below, above or across 0.

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
    """What testing promised of one metric, with its interval."""

    value: float
    low: float
    high: float


def expected_of(testing: Mapping[str, Any], confidence: float) -> dict[str, Expected]:
    """Return what testing promised of each metric, its interval brought to this confidence.

    An interval at another confidence is stretched as a normal distribution would be.

    Args:
        testing: Contents of reports/testing/reference.json.
        confidence: Of the intervals, in 0..1.
    """
    quality = testing["quality"]
    stretch = _half_width(confidence) / _half_width(testing["confidence"])
    return {
        name: Expected(
            value=value,
            low=value + stretch * (low - value),
            high=value + stretch * (high - value),
        )
        for name, (low, high) in quality["interval"].items()
        for value in [quality[name]]
    }


def _half_width(confidence: float) -> float:
    """Return half the width of an interval of the standard normal distribution."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def values_of(served: Recommendations, questions: EvaluationSet, k: int) -> dict[str, Doubles]:
    """Return each metric of the served list, one value per request, NaN without labels."""
    hits = ranking.hit_matrix(served.items, questions.label_row, questions.label_item)
    return {
        f"recall@{k}": ranking.recall_at_k(hits, questions.n_true, k),
        f"ndcg@{k}": ranking.ndcg_at_k(hits, questions.n_true, k),
        f"hit_rate@{k}": ranking.hit_rate_at_k(hits, questions.n_true, k),
    }


def user_codes(examples: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return [n] the code of each example's shopper."""
    return np.unique(examples["user_id"].to_numpy(dtype=object), return_inverse=True)[1]


def bootstrap_of(questions: EvaluationSet, params: MonitoringParams, seed: int) -> Bootstrap:
    """Return the resampled users of these requests."""
    user = user_codes(questions.examples)
    return Bootstrap.of(user, params.bootstrap_samples, params.confidence, seed)


def quality_of(
    values: dict[str, Doubles],
    bootstrap: Bootstrap,
    expected: Mapping[str, Expected],
    chosen: npt.NDArray[np.bool_] | None = None,
) -> dict[str, Quality]:
    """Return each metric with its interval; metrics without any labelled request are left out.

    Args:
        values: From `values_of`.
        bootstrap: Of the same requests.
        expected: From `expected_of`.
        chosen: Only these requests, such as a week's.
    """
    found = {}
    for name, each in values.items():
        there = ~np.isnan(each) if chosen is None else ~np.isnan(each) & chosen
        if there.any():
            low, high = bootstrap.interval(each, there)
            promised = expected[name]
            found[name] = Quality(
                value=float(each[there].mean()),
                low=low,
                high=high,
                reference=promised.value,
                n=int(there.sum()),
                reference_low=promised.low,
                reference_high=promised.high,
            )
    return found

"""How good the served lists were, once it is known what was bought."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline import ranking
from pipeline.params import MonitoringParams
from pipeline.recommenders.recommender import Recommendations
from pipeline.testing.measure import Questions
from pipeline.testing.statistics import Bootstrap

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
    """

    value: float
    low: float
    high: float
    reference: float
    n: int

    def state(self, maximum_loss_fraction: float) -> State:
        """Return whether the interval lies below, above or across what may be lost.

        >>> Quality(0.12, 0.11, 0.13, 0.15, 900).state(0.1)
        'lost'
        >>> Quality(0.14, 0.136, 0.144, 0.15, 900).state(0.1)
        'kept'
        """
        bound = (1 - maximum_loss_fraction) * self.reference
        if self.high < bound:
            return "lost"
        return "kept" if self.low >= bound else "unsure"


def values_of(served: Recommendations, questions: Questions, k: int) -> dict[str, Doubles]:
    """Return each metric of the served list, one value per request, NaN without labels."""
    hits = ranking.hit_matrix(served.items, questions.label_row, questions.label_item)
    return {
        f"recall@{k}": ranking.recall_at_k(hits, questions.n_true, k),
        f"ndcg@{k}": ranking.ndcg_at_k(hits, questions.n_true, k),
        f"hit_rate@{k}": ranking.hit_rate_at_k(hits, questions.n_true, k),
    }


def bootstrap_of(questions: Questions, params: MonitoringParams, seed: int) -> Bootstrap:
    """Return the resampled users of these requests."""
    names = questions.examples["user_id"].to_numpy(dtype=object)
    user = np.unique(names, return_inverse=True)[1]
    return Bootstrap.of(user, params.bootstrap_samples, params.confidence, seed)


def quality_of(
    values: dict[str, Doubles],
    bootstrap: Bootstrap,
    expected: dict[str, Any],
    chosen: npt.NDArray[np.bool_] | None = None,
) -> dict[str, Quality]:
    """Return each metric with its interval; metrics without any labelled request are left out.

    Args:
        values: From `values_of`.
        bootstrap: Of the same requests.
        expected: `quality` of the reference.
        chosen: Only these requests, such as a week's.
    """
    found = {}
    for name, each in values.items():
        there = ~np.isnan(each) if chosen is None else ~np.isnan(each) & chosen
        if there.any():
            low, high = bootstrap.interval(each, there)
            mean = float(each[there].mean())
            found[name] = Quality(mean, low, high, float(expected[name]), int(there.sum()))
    return found

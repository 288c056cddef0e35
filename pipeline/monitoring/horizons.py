"""Delayed labels: which requests count towards quality, at several horizons.

Design choices:

- At a horizon, a request counts if it is mature, so that many days have passed by the end of the
  period, and if a purchase followed within these days. Immature requests are left out even if
  their purchase is known already: those who buy quickly are not like the others.
- The shortest horizon is judged against testing, whose requests are made at the basket. Longer ones
  only warn: a list that is older when its basket begins fits it less.
- A horizon with labels of few users is immature: no alarm rests on it.
- Requests of users with less history than labeling asks for are not in testing either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.params import Params
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.monitoring.quality import Doubles, Expected, Quality, measure_quality
from pipeline.monitoring.traffic import Traffic

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class HorizonQuality:
    """Quality at one horizon.

    Attributes:
        days: The horizon.
        n_requests: Comparable requests.
        n_mature: Those whose horizon has passed.
        n_followed: Mature requests that a purchase followed within the horizon.
        n_users: Users of these.
        quality: Each metric of these; empty if the horizon is immature.
    """

    days: int
    n_requests: int
    n_mature: int
    n_followed: int
    n_users: int
    quality: Mapping[str, Quality]

    @property
    def is_mature(self) -> bool:
        """Whether enough labels are known."""
        return bool(self.quality)


def is_comparable(examples: pd.DataFrame, minimum_earlier_baskets: int) -> Mask:
    """Return [n] whether each request's user has the history that testing asks for.

    Args:
        examples: schemas.EXAMPLES; those of labeling are all comparable.
        minimum_earlier_baskets: labeling.minimum_earlier_baskets.
    """
    if "n_earlier_baskets" not in examples:
        return np.ones(len(examples), dtype=bool)
    return np.asarray(examples["n_earlier_baskets"] >= minimum_earlier_baskets, dtype=bool)


def is_mature(examples: pd.DataFrame, until: datetime | None, days: int) -> Mask:
    """Return [n] whether `days` have passed from each request to the end of the period."""
    if until is None:
        return np.ones(len(examples), dtype=bool)
    limit = pd.Timestamp(until) - pd.Timedelta(days=days)
    return np.asarray(examples["timestamp"] <= limit, dtype=bool)


def is_followed(examples: pd.DataFrame, days: int) -> Mask:
    """Return [n] whether a purchase followed each request within `days`."""
    has_labels = np.asarray(examples["labels"].map(len) > 0, dtype=bool)
    if "label_delay_days" not in examples:  # the request was made at its basket
        return has_labels
    is_in_time = np.asarray(examples["label_delay_days"] <= days, dtype=bool)
    return np.asarray(has_labels & is_in_time)


def select_counted(traffic: Traffic, days: int, params: Params) -> Mask:
    """Return [n] whether each request counts towards quality at a horizon."""
    examples = traffic.examples
    mature = is_mature(examples, traffic.until, days) & is_followed(examples, days)
    return np.logical_and(mature, is_comparable(examples, params.labeling.minimum_earlier_baskets))


def measure_horizons(
    traffic: Traffic,
    values: dict[str, Doubles],
    bootstrap: Bootstrap,
    expected: Mapping[str, Expected],
    params: Params,
) -> tuple[HorizonQuality, ...]:
    """Return the quality at each horizon, the shortest first.

    Args:
        traffic: The requests.
        values: Result of `compute_metrics`.
        bootstrap: Bootstrap of the same requests.
        expected: Result of `read_expected`.
        params: The horizons, and the limits of what counts.
    """
    comparable = is_comparable(traffic.examples, params.labeling.minimum_earlier_baskets)
    horizons = []
    for days in sorted(params.monitoring.horizons_days):
        counted = select_counted(traffic, days, params)
        n_users = len(np.unique(bootstrap.user[counted]))
        has_enough = n_users >= params.monitoring.minimum_users
        horizons.append(
            HorizonQuality(
                days=days,
                n_requests=int(comparable.sum()),
                n_mature=int((comparable & is_mature(traffic.examples, traffic.until, days)).sum()),
                n_followed=int(counted.sum()),
                n_users=n_users,
                quality=measure_quality(values, bootstrap, expected, counted) if has_enough else {},
            )
        )
    return tuple(horizons)

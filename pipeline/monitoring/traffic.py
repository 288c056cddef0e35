"""Traffic of a period: its requests in time order, and all of its events."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.params import MonitoringParams, ShopParams
from pipeline.contracts.schemas import EVENT_TYPES

DAYS_PER_WEEK = 7


@dataclass(frozen=True)
class Traffic:
    """The traffic of a period.

    Attributes:
        start: First moment of the period.
        examples: schemas.EXAMPLES that were or will be requested, by time, user and basket.
        events: schemas.EVENTS of the period, by time, user, basket and item.
        n_baskets: Baskets of the period that labeling makes examples of, before sampling.
        n_days: Length of the part of the period with events, at least 1.
        until: First moment after the period; None if not known.
    """

    start: datetime
    examples: pd.DataFrame
    events: pd.DataFrame
    n_baskets: int
    n_days: float
    until: datetime | None = None


def select_traffic(
    examples: pd.DataFrame, events: pd.DataFrame, params: MonitoringParams, shop: ShopParams
) -> Traffic:
    """Return the traffic to replay.

    Args:
        examples: schemas.EXAMPLES of all splits; the rolling ones of production are requested.
        events: schemas.EVENTS of all time.
        params: Length of the window, and the maximum number of requests.
        shop: The section with the start of production.
    """
    start = shop.windows().as_of
    end = start + timedelta(days=params.replay_days)
    examples = _within(select_rolling(examples, "production"), start, end, ["user_id", "basket_id"])
    window = _within(events, start, end, ["user_id", "basket_id", "item_id"])
    sample = sample_rows(examples, params.maximum_requests)
    return build_traffic(sample, window, len(examples), start, end)


def build_traffic(
    examples: pd.DataFrame, events: pd.DataFrame, n_baskets: int, since: datetime, until: datetime
) -> Traffic:
    """Return the traffic of a period.

    Args:
        examples: Requests of the period, in order.
        events: schemas.EVENTS of the period, in order.
        n_baskets: Baskets of the period, before sampling.
        since: First moment of the period.
        until: First moment after the period.
    """
    known = events[events["event_type"].isin(EVENT_TYPES)].reset_index(drop=True)
    last = known["timestamp"].max() if len(known) else pd.Timestamp(since)
    days = max((last - pd.Timestamp(since)) / pd.Timedelta(days=1), 1.0)
    return Traffic(since, examples, known, n_baskets, days, until)


def select_rolling(examples: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return the rolling examples of one split, in the order of the table."""
    chosen = (examples["split"] == split) & (examples["protocol"] == "rolling")
    return examples[chosen].reset_index(drop=True)


def _within(frame: pd.DataFrame, start: datetime, end: datetime, ties: list[str]) -> pd.DataFrame:
    inside = frame[(frame["timestamp"] >= start) & (frame["timestamp"] < end)]
    return inside.sort_values(["timestamp", *ties], kind="stable").reset_index(drop=True)


def sample_rows(frame: pd.DataFrame, maximum: int) -> pd.DataFrame:
    """Return at most `maximum` rows, spread evenly over the frame.

    >>> sample_rows(pd.DataFrame({"n": range(10)}), 5)["n"].tolist()
    [0, 2, 4, 6, 8]
    """
    if len(frame) <= maximum:
        return frame
    return frame.iloc[spread_evenly(len(frame), maximum)].reset_index(drop=True)


def spread_evenly(n: int, maximum: int) -> npt.NDArray[np.int64]:
    """Return at most `maximum` of the indices below `n`, spread evenly.

    >>> spread_evenly(10, 5).tolist(), spread_evenly(2, 5).tolist()
    ([0, 2, 4, 6, 8], [0, 1])
    """
    n_chosen = min(n, maximum)
    return np.arange(n_chosen) * n // max(n_chosen, 1)


def week_numbers(examples: pd.DataFrame, start: datetime) -> npt.NDArray[np.int64]:
    """Return [n] whole weeks since `start`."""
    since = examples["timestamp"] - pd.Timestamp(start)
    return np.asarray(since.dt.days.to_numpy() // DAYS_PER_WEEK, dtype=np.int64)


def is_in_whole_week(traffic: Traffic) -> npt.NDArray[np.bool_]:
    """Return [n] whether each request is in one of the period's weeks of seven days."""
    examples = traffic.examples
    if traffic.until is None:
        return np.ones(len(examples), dtype=bool)
    n_weeks = (traffic.until - traffic.start).days // DAYS_PER_WEEK
    return week_numbers(examples, traffic.start) < n_weeks

"""What happened after `as_of`: the baskets that ask, in time order, and every event beside them."""

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
    """The replayed window.

    Attributes:
        start: Its first moment, which is `as_of`.
        asking: schemas.EXAMPLES that are asked, by time, user and basket.
        events: schemas.EVENTS of the window, in the same order.
        n_baskets: Examples before sampling.
        n_days: Length of the part of the window that has events, at least 1 if there are any.
    """

    start: datetime
    asking: pd.DataFrame
    events: pd.DataFrame
    n_baskets: int
    n_days: float


def traffic_of(
    examples: pd.DataFrame, events: pd.DataFrame, params: MonitoringParams, shop: ShopParams
) -> Traffic:
    """Return what is replayed.

    Args:
        examples: schemas.EXAMPLES of all splits; production's rolling ones are asked.
        events: schemas.EVENTS of all time.
        params: How many days, and how many requests at most.
        shop: Where production begins.
    """
    start = shop.windows().as_of
    end = start + timedelta(days=params.replay_days)
    asking = _within(rolling(examples, "production"), start, end, ["user_id", "basket_id"])
    window = _within(events, start, end, ["user_id", "basket_id", "item_id"])
    window = window[window["event_type"].isin(EVENT_TYPES)].reset_index(drop=True)
    last = window["timestamp"].max() if len(window) else pd.Timestamp(start)
    return Traffic(
        start=start,
        asking=sampled(asking, params.maximum_requests),
        events=window,
        n_baskets=len(asking),
        n_days=max((last - pd.Timestamp(start)) / pd.Timedelta(days=1), 1.0),
    )


def rolling(examples: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return the rolling examples of one split, in the order of the table."""
    chosen = (examples["split"] == split) & (examples["protocol"] == "rolling")
    return examples[chosen].reset_index(drop=True)


def _within(frame: pd.DataFrame, start: datetime, end: datetime, ties: list[str]) -> pd.DataFrame:
    inside = frame[(frame["timestamp"] >= start) & (frame["timestamp"] < end)]
    return inside.sort_values(["timestamp", *ties], kind="stable").reset_index(drop=True)


def sampled(frame: pd.DataFrame, maximum: int) -> pd.DataFrame:
    """Return at most `maximum` rows, spread evenly over the frame.

    >>> sampled(pd.DataFrame({"n": range(10)}), 5)["n"].tolist()
    [0, 2, 4, 6, 8]
    """
    if len(frame) <= maximum:
        return frame
    return frame.iloc[evenly(len(frame), maximum)].reset_index(drop=True)


def evenly(n: int, maximum: int) -> npt.NDArray[np.int64]:
    """Return at most `maximum` of the places before `n`, spread evenly.

    >>> evenly(10, 5).tolist(), evenly(2, 5).tolist()
    ([0, 2, 4, 6, 8], [0, 1])
    """
    n_kept = min(n, maximum)
    return np.arange(n_kept) * n // max(n_kept, 1)


def week_numbers(examples: pd.DataFrame, start: datetime) -> npt.NDArray[np.int64]:
    """Return whole weeks since `start` per example."""
    since = examples["timestamp"] - pd.Timestamp(start)
    return np.asarray(since.dt.days.to_numpy() // DAYS_PER_WEEK, dtype=np.int64)

"""What a diagnosis examines: the events and labels of a window, and the weeks before it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

BEFORE_DAYS = 84
# Of the baskets that are usual on a day; a day below it is missing or cut off.
MINIMUM_SHARE = 0.3
# Baskets belong to one user: a basket without an id is called by its day.
BASKET = ["user_id", "basket_id"]
Member = dict[str, Any]
Change = Callable[[pd.DataFrame], pd.DataFrame]
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Case:
    """A window of production and the weeks before it.

    Attributes:
        start: First moment of the window, UTC.
        days: Length of the window in whole days.
        timezone: Time zone of the shop's calendar days.
        past: Purchases before `start`, schemas.EVENTS, at least BEFORE_DAYS of them where the shop
            is that old.
        now: Purchases of the window.
        requests: Judged requests of the window with the `labels` that followed.
        labelled: Examples of the window that labeling wrote, schemas.EXAMPLES.
        known_items: Items of the model's vocabulary.
        held_out: Members of `collection.quarantined`: their days and stores are expected to be
            empty.
    """

    start: pd.Timestamp
    days: int
    timezone: ZoneInfo
    past: pd.DataFrame
    now: pd.DataFrame
    requests: pd.DataFrame
    labelled: pd.DataFrame
    known_items: frozenset[str]
    held_out: tuple[Member, ...] = ()

    @cached_property
    def before(self) -> pd.DataFrame:
        """Purchases of the BEFORE_DAYS before the window."""
        return _within(self.past, self.start - pd.Timedelta(days=BEFORE_DAYS), self.start)

    @cached_property
    def earlier(self) -> "Case | None":
        """The window of the same length just before this one; None without weeks before it.

        It has no fault that began with this window, so its statistics show what varies naturally.
        Its items are known if they sold before it, and it has no labels.
        """
        start = self.start - pd.Timedelta(days=self.days)
        past = self.past[self.past["timestamp"] < start]
        now = _within(self.past, start, self.start)
        if now.empty or (start - past["timestamp"].min()).days < BEFORE_DAYS // 2:
            return None
        return replace(
            self,
            start=start,
            past=past,
            now=now,
            requests=self.requests.iloc[:0],
            labelled=self.labelled.iloc[:0],
            known_items=frozenset(past["item_id"].unique()),
        )

    def is_held_out(self, store: str | None, days: pd.DatetimeIndex) -> bool:
        """Return whether a person has held out all these days of a store, or of all (None)."""
        return any(
            member.get("store_id") in (None, store)
            and pd.Timestamp(member.get("from") or days[0]) <= days[0]
            and days[-1] < pd.Timestamp(member.get("to") or days[-1] + pd.Timedelta(days=1))
            for member in self.held_out
        )

    @cached_property
    def first_day(self) -> pd.Timestamp:
        """The first local day of the window, without a zone."""
        return pd.Timestamp(self.local_days(pd.Series([self.start])).iloc[0])

    @cached_property
    def calendar(self) -> pd.DatetimeIndex:
        """The local days of the window."""
        return pd.date_range(self.first_day, periods=self.days)

    def between(self, days: pd.Index) -> dict[str, str]:
        """Return `from` and `to` of a correction of these local days.

        A fault that reaches the end of the window may go on: it has no `to`.
        """
        first, after = min(days), max(days) + pd.Timedelta(days=1)
        span = {"from": f"{first:%Y-%m-%d}"}
        return span if after > self.calendar[-1] else span | {"to": f"{after:%Y-%m-%d}"}

    def local_days(self, moments: pd.Series) -> pd.Series:
        """Return the local day of each moment, without a zone."""
        return pd.Series(self.as_local(moments).dt.normalize())

    def change_window(self, events: Change, examples: Change = lambda frame: frame) -> "Case":
        """Return the case with other events in the window.

        Args:
            events: Changes the events.
            examples: Changes the requests, and the examples of labeling.
        """
        return replace(
            self,
            now=events(self.now),
            requests=examples(self.requests),
            labelled=examples(self.labelled),
        )

    def as_local(self, moments: pd.Series) -> pd.Series:
        """Return the local time of each moment, without a zone."""
        return pd.Series(moments.dt.tz_convert(self.timezone).dt.tz_localize(None))


def first_rows_of_baskets(events: pd.DataFrame) -> pd.DataFrame:
    """Return one row per basket, or per user and moment in a shop without baskets."""
    has_baskets = "basket_id" in events and events["basket_id"].notna().any()
    return events.drop_duplicates(BASKET if has_baskets else ["user_id", "timestamp"])


def typical_level(counts: Counts, usual: Counts | float) -> float:
    """Return how much of what is usual comes on the typical day that is not empty, at most 1.

    Days of a shop that sells less throughout are not missing.

    >>> typical_level(np.array([5.0, 0.0, 4.0, 6.0]), 10.0)
    0.5
    """
    is_open = (counts > 0) & (usual > 0)
    shares = (counts / np.maximum(usual, 1e-9))[is_open]
    return min(float(np.median(shares)), 1.0) if len(shares) else 1.0


def _within(events: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    moments = events["timestamp"]
    return events[(moments >= start) & (moments < end)]

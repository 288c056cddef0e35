"""Moments as seconds, and as hours of the week on the shop's own clock, summer time included."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

Seconds = npt.NDArray[np.float64]
Moments = Sequence[datetime] | pd.Series | Seconds

DAY = 86_400.0
HOUR = 3_600
HOURS_PER_WEEK = 168
EPOCH_MONDAY = 4 * 24 * HOUR  # 1970-01-05
YEARS = ("1990-01-01", "2100-01-01")


def to_seconds(times: Moments) -> Seconds:
    """Return seconds since 1970 for datetimes that know their zone; numbers stay as they are."""
    if isinstance(times, np.ndarray):
        return times
    moments = pd.DatetimeIndex(pd.Series(times)).tz_convert("UTC").as_unit("us")
    return np.asarray(moments.asi8, dtype=np.float64) / 1e6


def hours_of_week(seconds: Seconds, timezone: str) -> npt.NDArray[np.int32]:
    """Return the hour of the shop's week of each moment: 0 = Monday 00:00, 167 = Sunday 23:00.

    >>> moment = pd.Timestamp("2017-07-03 00:30", tz="America/New_York").timestamp()
    >>> hours_of_week(np.array([moment, moment - 3_600]), "America/New_York").tolist()
    [0, 167]
    """
    changes, offsets = _offsets(timezone)
    local = seconds + offsets[np.searchsorted(changes, seconds, side="right")]
    return np.asarray((local - EPOCH_MONDAY) // HOUR % HOURS_PER_WEEK, dtype=np.int32)


@cache
def _offsets(timezone: str) -> tuple[Seconds, Seconds]:
    """Return when the zone's offset from UTC changes, and the offset before, between and after.

    Found by looking at every hour: zones change their clocks at whole hours.
    """
    hours = pd.date_range(*YEARS, freq="h", tz="UTC")
    utc = hours.as_unit("s").asi8
    local = hours.tz_convert(timezone).tz_localize(None).as_unit("s").asi8
    offset = (local - utc).astype(np.float64)
    at = np.flatnonzero(np.diff(offset)) + 1
    return utc[at].astype(np.float64), np.concatenate([offset[:1], offset[at]])

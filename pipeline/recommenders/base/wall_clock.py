"""Convert moments to seconds and to hours of the week in the shop's time zone."""

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
    """Return seconds since 1970 of timezone-aware datetimes; arrays are returned unchanged."""
    if isinstance(times, np.ndarray):
        return times
    moments = pd.DatetimeIndex(pd.Series(times)).tz_convert("UTC").as_unit("us")
    return np.asarray(moments.asi8, dtype=np.float64) / 1e6


def hours_of_week(seconds: Seconds, timezone: str) -> npt.NDArray[np.int32]:
    """Return the local hour of the week of each moment: 0 = Monday 00:00, 167 = Sunday 23:00.

    >>> moment = pd.Timestamp("2017-07-03 00:30", tz="America/New_York").timestamp()
    >>> hours_of_week(np.array([moment, moment - 3_600]), "America/New_York").tolist()
    [0, 167]
    """
    changes, offsets = _offsets(timezone)
    local = seconds + offsets[np.searchsorted(changes, seconds, side="right")]
    return np.asarray((local - EPOCH_MONDAY) // HOUR % HOURS_PER_WEEK, dtype=np.int32)


@cache
def _offsets(timezone: str) -> tuple[Seconds, Seconds]:
    """Return when the zone's UTC offset changes, and the offsets before, between and after.

    The search checks every whole hour, because zones change their clocks at whole hours.
    """
    hours = pd.date_range(*YEARS, freq="h", tz="UTC")
    utc = hours.as_unit("s").asi8
    local = hours.tz_convert(timezone).tz_localize(None).as_unit("s").asi8
    offset = (local - utc).astype(np.float64)
    at = np.flatnonzero(np.diff(offset)) + 1
    return utc[at].astype(np.float64), np.concatenate([offset[:1], offset[at]])

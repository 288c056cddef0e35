"""The shop's week against the time zone database."""

import numpy as np
import pandas as pd
import pytest

from pipeline.recommenders.base.wall_clock import hours_of_week


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata"])
def test_the_hour_of_the_week_is_the_local_one_all_year(zone: str) -> None:
    moments = pd.date_range("2017-01-01", "2018-01-01", freq="37min", tz="UTC")
    local = moments.tz_convert(zone)
    seconds = moments.as_unit("s").asi8.astype(float)
    np.testing.assert_array_equal(
        hours_of_week(seconds, zone), local.weekday.to_numpy() * 24 + local.hour.to_numpy()
    )


def test_no_moments_give_no_hours() -> None:
    assert hours_of_week(np.zeros(0), "UTC").tolist() == []

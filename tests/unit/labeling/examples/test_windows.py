"""Where the windows of time lie."""

from datetime import date

import pytest

from pipeline.contracts.errors import DataQualityError
from pipeline.labeling.examples.windows import build_windows
from tests.support.weekly_shop import labeling, moment, shop

FIRST, LAST = moment("2024-01-02T10:00"), moment("2024-02-13T10:00")


def test_windows_follow_each_other_without_gap_or_overlap() -> None:
    windows = build_windows(shop(), labeling(), first=FIRST, last=LAST)
    assert [(w.split, f"{w.cutoff:%m-%d}", f"{w.ends:%m-%d}") for w in windows] == [
        ("train", "01-15", "01-22"),
        ("train", "01-22", "01-29"),
        ("validation", "01-29", "02-05"),
        ("test", "02-05", "02-12"),
        ("production", "02-12", "02-19"),
    ]


def test_training_windows_before_any_history_are_left_out() -> None:
    windows = build_windows(shop(), labeling(train_windows=50), first=FIRST, last=LAST)
    assert [f"{w.cutoff:%m-%d}" for w in windows if w.split == "train"] == [
        "01-08",
        "01-15",
        "01-22",
    ]


def test_there_is_no_production_window_when_the_data_end_before_it() -> None:
    windows = build_windows(shop(), labeling(), first=FIRST, last=moment("2024-02-11T23:59"))
    assert windows[-1].split == "test"


def test_windows_open_at_the_shops_own_midnight() -> None:
    windows = build_windows(shop(timezone="America/New_York"), labeling(), first=FIRST, last=LAST)
    assert windows[0].cutoff == moment("2024-01-15T05:00")


def test_a_horizon_longer_than_the_window_ends_with_it() -> None:
    windows = build_windows(shop(), labeling(horizon_days=99), first=FIRST, last=LAST)
    assert [w.horizon_ends for w in windows if w.split == "test"] == [moment("2024-02-12")]


def test_a_day_outside_the_data_is_refused_with_the_days_that_are_possible() -> None:
    with pytest.raises(DataQualityError, match="between 2024-01-24 and 2024-02-14"):
        build_windows(shop(as_of=date(2024, 3, 30)), labeling(), first=FIRST, last=LAST)

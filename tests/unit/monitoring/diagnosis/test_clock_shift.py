"""A clock or a time zone that is wrong."""

import pytest

from pipeline.monitoring.diagnosis.causes.clock_shift import CLOCK_SHIFT
from tests.support.diagnosed_faults import shift_clock
from tests.support.diagnosed_shop import (
    DAYS,
    appended,
    explain,
    is_silent,
    make_case,
    span,
)


@pytest.mark.parametrize("hours", [6, -6, 2, -9])
def test_the_hours_of_the_whole_window_are_reported(hours: int) -> None:
    suspicion = explain(CLOCK_SHIFT, shift_clock(make_case(), hours))
    (member,) = appended(suspicion)
    assert member == {"kind": "shift", "hours": -hours} | span()
    assert f"{abs(hours)} hours {'earlier' if hours < 0 else 'later'}" in suspicion.because


@pytest.mark.parametrize("hours", [24, -24, 48])
def test_whole_days_are_reported(hours: int) -> None:
    (member,) = appended(explain(CLOCK_SHIFT, shift_clock(make_case(), hours)))
    assert member["hours"] == -hours


@pytest.mark.parametrize(("first", "last"), [(10, DAYS), (5, 19)])
def test_the_days_are_reported(first: int, last: int) -> None:
    (member,) = appended(explain(CLOCK_SHIFT, shift_clock(make_case(), 5, first, last)))
    assert member == {"kind": "shift", "hours": -5} | span(first, last)


@pytest.mark.parametrize("first", [0, 12])
def test_one_store_is_reported(first: int) -> None:
    (member,) = appended(explain(CLOCK_SHIFT, shift_clock(make_case(), 6, first, store="s3")))
    assert member == {"kind": "shift", "hours": -6, "store_id": "s3"} | span(first)


def test_two_stores_are_reported() -> None:
    both = shift_clock(shift_clock(make_case(), 6, store="s3"), 6, store="s1")
    members = appended(explain(CLOCK_SHIFT, both))
    assert [member["store_id"] for member in members] == ["s1", "s3"]


@pytest.mark.parametrize("hours", [0.25, -0.25])
def test_a_quarter_of_an_hour_is_silent(hours: float) -> None:
    assert is_silent(CLOCK_SHIFT, shift_clock(make_case(), hours))


def test_a_feast_of_one_day_with_other_hours_is_silent() -> None:
    assert is_silent(CLOCK_SHIFT, shift_clock(make_case(), -5, 20, 21))

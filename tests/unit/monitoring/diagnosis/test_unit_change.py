"""Prices in another unit or currency."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.monitoring.diagnosis.causes.unit_change import UNIT_CHANGE
from tests.support.diagnosed_faults import scale_prices
from tests.support.diagnosed_shop import (
    DAYS,
    appended,
    change_events,
    explain,
    is_silent,
    make_case,
    span,
)


@pytest.mark.parametrize("factor", [100, 0.01, 1000, 0.85, 1.2])
def test_the_factor_of_the_whole_window_is_reported(factor: float) -> None:
    (member,) = appended(explain(UNIT_CHANGE, scale_prices(make_case(), factor)))
    assert member == {"kind": "scale", "column": "price", **span()} | {"factor": member["factor"]}
    assert member["factor"] == pytest.approx(1 / factor, rel=0.03)


@pytest.mark.parametrize("factor", [100, 1.4])
@pytest.mark.parametrize(("first", "last"), [(10, DAYS), (0, 12), (9, 15)])
def test_the_days_are_reported(factor: float, first: int, last: int) -> None:
    (member,) = appended(explain(UNIT_CHANGE, scale_prices(make_case(), factor, first, last)))
    assert {key: member.get(key) for key in span(first, last)} == span(first, last)
    assert ("to" in member) == (last < DAYS)


@pytest.mark.parametrize("first", [0, 14])
def test_one_store_is_reported(first: int) -> None:
    suspicion = explain(UNIT_CHANGE, scale_prices(make_case(), 100, first, store="s2"))
    (member,) = appended(suspicion)
    assert member == {"kind": "scale", "column": "price", "factor": 0.01, "store_id": "s2"} | span(
        first
    )
    assert suspicion.phase == "collection"
    assert "100 times what it did before in 1 stores, such as s2" in suspicion.because


def test_a_small_store_with_few_lines_a_day_is_reported() -> None:
    case = change_events(
        make_case(), lambda now: now[(now["store_id"] != "s2") | (np.arange(len(now)) % 11 == 0)]
    )
    (member,) = appended(explain(UNIT_CHANGE, scale_prices(case, 100, store="s2")))
    assert (member["store_id"], member["factor"]) == ("s2", 0.01)


def test_a_feast_of_two_days_does_not_hide_a_store() -> None:
    case = scale_prices(scale_prices(make_case(), 100, store="s2"), 1.15, 19, 21)
    (member,) = appended(explain(UNIT_CHANGE, case))
    assert (member["store_id"], member["factor"]) == ("s2", 0.01)


@pytest.mark.parametrize("factor", [1.05, 0.96])
def test_a_small_change_of_prices_is_silent(factor: float) -> None:
    assert is_silent(UNIT_CHANGE, scale_prices(make_case(), factor))


def test_a_single_day_of_other_prices_is_silent() -> None:
    assert is_silent(UNIT_CHANGE, scale_prices(make_case(), 1.3, 12, 13))


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(0.001, 1000).filter(lambda factor: abs(np.log(factor)) > 0.15))
def test_the_reported_factor_undoes_any_scale(factor: float) -> None:
    (member,) = appended(explain(UNIT_CHANGE, scale_prices(make_case(), factor)))
    assert float(str(member["factor"])) * factor == pytest.approx(1, abs=0.04)

"""A healthy window has no cause, whatever the shop does not record."""

from dataclasses import replace

import pandas as pd
import pytest

from pipeline.monitoring.diagnosis.case import Case
from pipeline.monitoring.diagnosis.catalogue import CATALOGUE
from pipeline.monitoring.diagnosis.diagnose import diagnose
from pipeline.monitoring.diagnosis.suspicion import Cause
from tests.support.diagnosed_shop import ZONE, Change, Frame, beyond, make_case

BY_NAME = {cause.name: cause for cause in CATALOGUE}


def everywhere(case: Case, change: Change) -> Case:
    """Return the case with a change of the window and of all that came before it."""
    return replace(case, past=change(case.past), now=change(case.now))


WITHOUT: dict[str, tuple[Change, tuple[str, ...]]] = {
    "prices": (lambda f: f.assign(price=float("nan")), ("unit_change", "damaged_lines")),
    "any price above 0": (lambda f: f.assign(price=0.0), ("unit_change", "damaged_lines")),
    "stores": (lambda f: f.assign(store_id=None), ("missing_days",)),
    "a store column": (lambda f: f.drop(columns="store_id"), ("missing_days",)),
    "baskets": (lambda f: f.assign(basket_id=None), ("labels_missing", "labels_misjoined")),
    "times of day": (
        lambda f: f.assign(
            timestamp=f["timestamp"].dt.tz_convert(ZONE).dt.normalize().dt.tz_convert("UTC")
        ),
        ("clock_shift",),
    ),
}


@pytest.mark.parametrize("seed", range(4, 7))
def test_a_healthy_window_stays_within_every_bound(seed: int) -> None:
    assert beyond(make_case(seed)) == []


def test_the_diagnosis_of_a_healthy_window_names_no_cause() -> None:
    diagnosis = diagnose(make_case())
    assert diagnosis.causes == ()
    assert [item.cause for item in diagnosis.measured] == list(CATALOGUE)


@pytest.mark.parametrize("name", WITHOUT)
def test_what_a_shop_does_not_record_is_no_cause(name: str) -> None:
    change, causes = WITHOUT[name]
    case = everywhere(make_case(), change)
    if name == "baskets":
        unnamed = case.labelled.assign(basket_id=None)
        case = replace(case, labelled=unnamed)
    assert beyond(case) == []
    assert [BY_NAME[cause].measure(case) for cause in causes] == [0.0] * len(causes)


def test_baskets_that_are_called_by_their_day_are_as_many_as_those_with_an_id() -> None:
    case = make_case()

    def name_by_day(frame: Frame) -> Frame:
        days = frame["timestamp"].dt.tz_convert(ZONE).dt.strftime("%Y-%m-%d")
        return frame.assign(basket_id=days)

    named = replace(
        case,
        past=name_by_day(case.past),
        now=name_by_day(case.now),
        labelled=name_by_day(case.labelled),
    )
    values = [(cause.name, cause.measure(case)) for cause in CATALOGUE]
    assert [(cause.name, cause.measure(named)) for cause in CATALOGUE] == values


@pytest.mark.parametrize("cause", CATALOGUE, ids=lambda cause: cause.name)
def test_an_empty_window_or_an_empty_past_gives_0(cause: Cause) -> None:
    case = make_case()
    empty = case.change_window(lambda frame: frame.iloc[:0], lambda frame: frame.iloc[:0])
    assert cause.measure(empty) == 0.0
    assert cause.measure(replace(case, past=case.past.iloc[:0])) == 0.0
    assert cause.measure(replace(empty, past=case.past.iloc[:0])) == 0.0


def test_a_young_shop_has_no_window_to_compare_with() -> None:
    case = make_case()
    recent = case.past["timestamp"] >= case.start - pd.Timedelta(days=40)
    young = replace(case, past=case.past[recent])
    assert case.earlier is not None
    assert young.earlier is None
    assert diagnose(young).causes == ()

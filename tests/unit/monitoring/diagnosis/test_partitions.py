"""Partitions that are missing, late, repeated, damaged or thinned out, and bots."""

from dataclasses import replace

import pandas as pd
import pytest

from pipeline.monitoring.diagnosis.causes.bot_traffic import BOT_TRAFFIC
from pipeline.monitoring.diagnosis.causes.damaged_lines import DAMAGED_LINES
from pipeline.monitoring.diagnosis.causes.late_data import LATE_DATA
from pipeline.monitoring.diagnosis.causes.missing_days import MISSING_DAYS
from pipeline.monitoring.diagnosis.causes.repeated_lines import REPEATED_LINES
from pipeline.monitoring.diagnosis.causes.thin_data import THIN_DATA
from tests.support.diagnosed_faults import (
    add_bots,
    damage_lines,
    drop_days,
    keep_some,
    repeat_lines,
)
from tests.support.diagnosed_shop import (
    DAYS,
    appended,
    change_events,
    day_of_window,
    explain,
    is_silent,
    make_case,
    span,
)


@pytest.mark.parametrize(("first", "last"), [(8, 10), (0, 4), (3, 13)])
def test_missing_days_are_held_out(first: int, last: int) -> None:
    case = drop_days(make_case(), first, last)
    suspicion = explain(MISSING_DAYS, case)
    assert appended(suspicion) == [span(first, last) | {"because": "missing at the source"}]
    assert suspicion.undo is not None
    assert is_silent(MISSING_DAYS, suspicion.undo(case))


def test_missing_days_of_one_store_are_held_out() -> None:
    (member,) = appended(explain(MISSING_DAYS, drop_days(make_case(), 8, 13, "s1")))
    assert member == span(8, 13) | {"store_id": "s1", "because": "missing at the source"}


def test_two_gaps_are_both_held_out() -> None:
    both = drop_days(drop_days(make_case(), 4, 7), 15, 18)
    assert [member["from"] for member in appended(explain(MISSING_DAYS, both))] == [
        f"{day_of_window(day):%Y-%m-%d}" for day in (4, 15)
    ]


@pytest.mark.parametrize(
    ("limits", "is_expected"),
    [
        (span(8, 12) | {"store_id": "s1"}, True),
        (span(8, 12) | {"store_id": None}, True),
        ({"from": None, "to": None, "store_id": "s1"}, True),
        ({"from": span(5)["from"], "to": None, "store_id": None}, True),
        (span(8, 12) | {"store_id": "s2"}, False),
        (span(8, 11) | {"store_id": "s1"}, False),
        (span(9, 12) | {"store_id": "s1"}, False),
    ],
)
def test_days_that_a_person_has_held_out_are_expected_to_be_empty(
    limits: dict[str, str | None],
    is_expected: bool,  # noqa: FBT001
) -> None:
    case = replace(drop_days(make_case(), 8, 12, "s1"), held_out=(limits,))
    assert is_silent(MISSING_DAYS, case) == is_expected


def test_a_day_on_which_the_shop_is_closed_is_silent() -> None:
    assert is_silent(MISSING_DAYS, drop_days(make_case(), 21, 22))


@pytest.mark.parametrize("n_late", [2, 5, 12])
def test_late_days_shorten_the_window(n_late: int) -> None:
    case = drop_days(make_case(), DAYS - n_late, DAYS)
    suspicion = explain(LATE_DATA, case)
    (step,) = suspicion.steps
    assert step.kind == "edit_params"
    assert [(c.key, c.operation, c.value) for c in step.changes] == [
        ("monitoring.replay_days", "set", DAYS - n_late)
    ]
    assert is_silent(MISSING_DAYS, case)
    assert suspicion.undo is not None
    assert suspicion.undo(case).days == DAYS - n_late


def test_a_last_day_without_baskets_is_silent() -> None:
    assert is_silent(LATE_DATA, drop_days(make_case(), DAYS - 1, DAYS))


@pytest.mark.parametrize("new_baskets", [False, True])
@pytest.mark.parametrize(("first", "last"), [(0, DAYS), (6, 7), (20, DAYS), (3, 10)])
def test_repeats_are_dropped_from_their_days(first: int, last: int, new_baskets: bool) -> None:  # noqa: FBT001
    (member,) = appended(
        explain(REPEATED_LINES, repeat_lines(make_case(), first, last, new_baskets=new_baskets))
    )
    assert member == {"kind": "deduplicate"} | span(first, last)


def test_repeats_of_one_store_are_dropped() -> None:
    explain(REPEATED_LINES, repeat_lines(make_case(), 6, 9, store="s2"))


def test_a_few_repeats_are_silent() -> None:
    few = change_events(
        make_case(), lambda now: pd.concat([now, now.iloc[::400]], ignore_index=True)
    )
    assert is_silent(REPEATED_LINES, few)


@pytest.mark.parametrize(
    ("column", "value", "share"),
    [
        ("price", 0.0, 1.0),
        ("price", 0.0, 0.4),
        ("price", float("nan"), 0.4),
        ("price", 9.99, 0.8),
        ("quantity", 900.0, 0.4),
    ],
)
def test_days_of_damaged_lines_are_held_out(column: str, value: float, share: float) -> None:
    (member,) = appended(
        explain(DAMAGED_LINES, damage_lines(make_case(), column, value, share, 9, 13))
    )
    assert member == span(9, 13) | {"because": "damaged at the source"}


def test_a_few_damaged_lines_are_silent() -> None:
    assert is_silent(DAMAGED_LINES, damage_lines(make_case(), "price", 0.0, 0.01, 0, DAYS))


@pytest.mark.parametrize(("n_bots", "n_baskets", "first"), [(1, 400, 0), (5, 200, 0), (3, 150, 14)])
def test_bots_are_dropped(n_bots: int, n_baskets: int, first: int) -> None:
    suspicion = explain(BOT_TRAFFIC, add_bots(make_case(), n_bots, n_baskets, first))
    (member,) = appended(suspicion)
    assert member == {"kind": "drop_users", "users": [f"bot{n}" for n in range(n_bots)]}
    assert f"since {day_of_window(first):%Y-%m-%d}" in suspicion.because


def test_a_bot_with_few_huge_baskets_is_dropped() -> None:
    (member,) = appended(explain(BOT_TRAFFIC, add_bots(make_case(), 1, 8, n_lines=150)))
    assert member["users"] == ["bot0"]


def test_a_diligent_user_is_silent() -> None:
    assert is_silent(BOT_TRAFFIC, add_bots(make_case(), 1, 25, n_lines=6))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.65])
def test_missing_baskets_are_asked_about(share: float) -> None:
    suspicion = explain(THIN_DATA, keep_some(make_case(), share, "basket_id"))
    assert [step.kind for step in suspicion.steps] == ["ask"]
    assert suspicion.undo is None


def test_missing_lines_are_asked_about() -> None:
    few = change_events(make_case(), lambda now: now.iloc[::2])
    assert "of 3.0 lines come" in explain(THIN_DATA, few).because


def test_a_tenth_fewer_baskets_are_silent() -> None:
    assert is_silent(THIN_DATA, keep_some(make_case(), 0.9, "basket_id"))

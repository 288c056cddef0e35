"""Slices of requests and the fairness gap."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.testing.slices import fairness_gap, slice_table, slices_of
from pipeline.testing.statistics import Bootstrap

N = 120
USERS = pd.DataFrame({"user_id": ["u0", "u1", "u2"], "age": ["19-24", "45-54", None]})


@pytest.fixture
def questions() -> Any:
    """Four users in turn, 30 requests each; u3 told us nothing."""
    at = np.arange(N)
    examples = pd.DataFrame(
        {"user_id": [f"u{n % 4}" for n in at], "n_earlier_baskets": np.where(at < 60, 9, 10)}
    )
    requests = SimpleNamespace(local_weekday=np.where(at < 40, 5, 4))
    return SimpleNamespace(examples=examples, requests=requests, n_true=np.where(at < 50, 3, 4))


def test_slices_split_the_requests_by_kind(questions: Any) -> None:
    found = {(kind, name): int(inside.sum()) for kind, name, inside in slices_of(questions, USERS)}
    assert found == {
        ("earlier baskets", "0 to 9"): 60,
        ("earlier baskets", "10 to 29"): 60,
        ("earlier baskets", "30 to 99"): 0,
        ("earlier baskets", "100 or more"): 0,
        ("basket size", "1 to 3"): 50,
        ("basket size", "4 to 10"): 70,
        ("basket size", "11 or more"): 0,
        ("day", "weekend"): 40,
        ("day", "Monday to Friday"): 80,
        ("age", "19-24"): 30,
        ("age", "45-54"): 30,
        ("age", "unknown"): 60,
    }


def test_without_attributes_there_are_no_groups_of_people(questions: Any) -> None:
    kinds = {kind for kind, _, _ in slices_of(questions, USERS[["user_id"]])}
    assert kinds == {"earlier baskets", "basket size", "day"}


def test_numbers_may_be_attributes(questions: Any) -> None:
    users = pd.DataFrame({"user_id": ["u0", "u1"], "children": [0, 2]})
    names = [name for kind, name, _ in slices_of(questions, users) if kind == "children"]
    assert names == ["0", "2", "unknown"]


def test_the_table_has_each_slices_mean_and_its_gap_to_all(questions: Any) -> None:
    user = np.arange(N) % 4
    values = np.where(user == 0, 0.0, 1.0)
    bootstrap = Bootstrap.of(user, 100, 0.95, seed=1)
    table = slice_table(questions, USERS, values, bootstrap).set_index(["kind", "slice"])
    young = table.loc[("age", "19-24")]
    assert (young["n"], young["value"], young["gap_fraction"]) == (30, 0.0, -1.0)
    assert table.loc[("age", "45-54"), "gap_fraction"] == pytest.approx(1 / 0.75 - 1)
    assert table.loc[("earlier baskets", "0 to 9"), "value"] == pytest.approx(0.75)
    assert ("earlier baskets", "30 to 99") not in table.index


def groups(*rows: tuple[str, float, float, float]) -> pd.DataFrame:
    """Kind, value, high, gap_fraction; the mean of all is 0.5."""
    frame = pd.DataFrame(rows, columns=["kind", "value", "high", "gap_fraction"])
    return frame.assign(slice="a", n=30, low=0.0)


def test_the_gap_is_that_of_the_worst_group_beyond_chance() -> None:
    table = groups(
        ("age", 0.4, 0.45, -0.2),
        ("age", 0.3, 0.55, -0.4),  # its interval reaches the mean: may be chance
        ("income", 0.45, 0.49, -0.1),
        ("day", 0.1, 0.2, -0.8),  # no group of people
    )
    assert fairness_gap(table, ["age", "income"], 0.5) == pytest.approx(0.2)


def test_a_group_that_gets_nothing_right_is_the_widest_gap() -> None:
    table = groups(("age", 0.0, 0.0, -1.0), ("age", 0.4, 0.45, -0.2))
    assert fairness_gap(table, ["age"], 0.5) == 1.0


def test_no_group_below_the_mean_beyond_chance_is_no_gap() -> None:
    assert fairness_gap(groups(("age", 0.45, 0.55, -0.1)), ["age"], 0.5) == 0.0
    assert fairness_gap(groups(("age", 0.7, 0.8, 0.4)), ["age"], 0.5) == 0.0


def test_without_groups_of_people_there_is_no_gap() -> None:
    assert fairness_gap(groups(("day", 0.1, 0.2, -0.8)), ["age"], 0.5) == 0.0

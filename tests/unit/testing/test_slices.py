"""Slices of requests and the fairness gap."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.contracts.testing_report import FairnessGap
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.testing.slices import (
    ABOVE,
    BELOW,
    CHANCE,
    FEW,
    build_slice_table,
    compute_fairness,
    describe_fairness,
    iterate_slices,
)

N = 120
USERS = pd.DataFrame({"user_id": ["u0", "u1", "u2"], "age": ["19-24", "45-54", None]})


@pytest.fixture
def questions() -> Any:
    """Four users in turn, 30 requests each; u3 has no attributes."""
    at = np.arange(N)
    examples = pd.DataFrame(
        {"user_id": [f"u{n % 4}" for n in at], "n_earlier_baskets": np.where(at < 60, 9, 10)}
    )
    requests = SimpleNamespace(local_weekday=np.where(at < 40, 5, 4))
    return SimpleNamespace(examples=examples, requests=requests, n_true=np.where(at < 50, 3, 4))


def test_slices_split_the_requests_by_kind(questions: Any) -> None:
    results = {
        (kind, name): int(inside.sum()) for kind, name, inside in iterate_slices(questions, USERS)
    }
    assert results == {
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
    kinds = {kind for kind, _, _ in iterate_slices(questions, USERS[["user_id"]])}
    assert kinds == {"earlier baskets", "basket size", "day"}


def test_numbers_may_be_attributes(questions: Any) -> None:
    users = pd.DataFrame({"user_id": ["u0", "u1"], "children": [0, 2]})
    names = [name for kind, name, _ in iterate_slices(questions, users) if kind == "children"]
    assert names == ["0", "2", "unknown"]


def test_the_table_has_every_slice_with_its_mean_and_its_gap_to_all(questions: Any) -> None:
    user = np.arange(N) % 4
    values = np.where(user == 0, 0.0, 1.0)
    bootstrap = Bootstrap.of(user, 100, 0.95, seed=1)
    table = build_slice_table(questions, USERS, values, bootstrap)
    assert table["gap_fraction"].is_monotonic_increasing  # the widest gap first
    table = table.set_index(["kind", "slice"])
    young = table.loc[("age", "19-24")]
    assert (young["n"], young["users"], young["value"], young["gap_fraction"]) == (30, 1, 0, -1)
    assert (young["low"], young["high"]) == (0.0, 0.0)
    assert table.loc[("age", "45-54"), "gap_fraction"] == pytest.approx(1 / 0.75 - 1)
    assert table.loc[("earlier baskets", "0 to 9"), "value"] == pytest.approx(0.75)
    assert ("earlier baskets", "30 to 99") not in table.index  # it holds no request
    assert set(table["against_mean"]) == {FEW}  # four shoppers speak for no group


def test_a_slice_is_below_or_above_only_with_its_whole_interval() -> None:
    """Four requests of each shopper; the mean over all is one half."""
    counts = {"low": 12, "high": 12, "mixed": 12, "few": 9}
    group = np.repeat(np.array([*counts], dtype=object), [*counts.values()])
    level = {"low": 0.2, "high": 0.8, "few": 0.5}
    values = [level.get(name, float(n % 2)) for n, name in enumerate(group)]  # mixed: 0 or 1
    user = np.repeat(np.arange(len(group)), 4)
    asked: Any = SimpleNamespace(
        examples=pd.DataFrame({"user_id": [f"u{n}" for n in user], "n_earlier_baskets": 20}),
        requests=SimpleNamespace(local_weekday=np.zeros(len(user))),
        n_true=np.full(len(user), 5),
    )
    people = pd.DataFrame({"user_id": [f"u{n}" for n in range(len(group))], "group": group})
    draw = Bootstrap.of(user, 200, 0.95, seed=1)
    table = build_slice_table(asked, people, np.repeat(values, 4), draw)
    result = table[table["kind"] == "group"].set_index("slice")["against_mean"]
    assert result.to_dict() == {"low": BELOW, "few": FEW, "mixed": CHANCE, "high": ABOVE}


def groups(*rows: tuple[str, str, float, str]) -> pd.DataFrame:
    """Kind, slice, gap_fraction and against_mean; the mean of all is 0.5."""
    frame = pd.DataFrame(rows, columns=["kind", "slice", "gap_fraction", "against_mean"])
    return frame.assign(value=0.5 * (1 + frame["gap_fraction"]), low=0.0, high=0.45, n=40)


def test_the_gap_is_that_of_the_worst_group_beyond_chance() -> None:
    table = groups(
        ("age", "19-24", -0.2, BELOW),
        ("age", "25-34", -0.4, CHANCE),
        ("age", "65+", -0.5, FEW),
        ("income", "250K+", -0.1, BELOW),
        ("day", "weekend", -0.8, BELOW),  # no group of people
    )
    fairness = compute_fairness(table, ["age", "income"])
    assert fairness.model_dump() == {
        "gap_fraction": pytest.approx(0.2),
        "group": "age 19-24",
        "n": 40,
        "value": pytest.approx(0.4),
        "low": 0.0,
        "high": 0.45,
    }
    assert describe_fairness(fairness).startswith(
        "20.0% below the mean, set by age 19-24 with 0.4000 [0.0000, 0.4500] in 40 requests. Rule: "
        "the lowest of the groups of people with at least 30 requests by 10 users whose whole "
        "interval lies below the mean"
    )


def test_a_group_that_gets_nothing_right_is_the_widest_gap() -> None:
    table = groups(("age", "a", -1.0, BELOW), ("age", "b", -0.2, BELOW))
    assert compute_fairness(table, ["age"]).gap_fraction == 1.0


@pytest.mark.parametrize("place", [CHANCE, FEW, ABOVE])
def test_no_group_below_the_mean_beyond_chance_is_no_gap(place: str) -> None:
    fairness = compute_fairness(groups(("age", "a", -0.1, place)), ["age"])
    assert fairness == FairnessGap(gap_fraction=0.0)
    assert describe_fairness(fairness).startswith("0.0%: no group lies below the mean.")


def test_without_groups_of_people_there_is_no_gap() -> None:
    assert compute_fairness(groups(("day", "weekend", -0.8, BELOW)), ["age"]).gap_fraction == 0.0

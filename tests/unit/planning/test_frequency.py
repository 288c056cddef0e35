from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipeline.planning.frequency import (
    FrequencyBaseline,
    fill_lists,
    personal_lists,
    popular_items,
    select_requests,
)
from pipeline.planning.history import History, build_history, microseconds

START = datetime(2024, 1, 1, tzinfo=UTC)


def moment(day: float) -> int:
    return microseconds(START + timedelta(days=day))


def history(*lines: tuple[str, str, float, str]) -> History:
    """Lines (user, item, day, basket) of a shop whose items have types t1 (a, b) and t2 (c)."""
    users, items, days, baskets = zip(*lines, strict=True)
    rows = pa.table(
        {
            "user_id": pa.array(users),
            "item_id": pa.array(items),
            "timestamp": pa.array(
                [START + timedelta(days=day) for day in days], pa.timestamp("us", tz="UTC")
            ),
            "basket_id": pa.array(baskets, pa.string()),
        }
    )
    types = pa.table({"item_id": ["a", "b", "c"], "type": ["t1", "t1", "t2"]})
    return build_history(rows, types, moment(1000))


def names(past: History, numbers: np.ndarray) -> list[str]:
    """Items in this file are named so that `abc`[number - 1] holds: a outsells b outsells c."""
    assert past.n_items() <= 3
    return ["abc"[number - 1] for number in numbers if number]


SHOP = (
    ("u", "a", 0, "1"),
    ("u", "b", 0, "1"),
    ("u", "a", 10, "2"),
    ("u", "c", 20, "3"),
    ("v", "a", 5, "4"),
    ("v", "b", 30, "5"),
)


def test_items_are_numbered_by_falling_popularity_then_by_id() -> None:
    past = history(("u", "b", 0, "1"), ("v", "b", 0, "2"), ("u", "c", 1, "3"), ("u", "a", 2, "4"))
    assert past.item_type.tolist() == [0, 1, 1, 2]  # b, then a and c by id
    assert np.bincount(past.item).tolist() == [0, 2, 1, 1]


def test_baskets_are_numbered_by_user_and_time() -> None:
    past = history(*SHOP)
    assert past.basket_user.tolist() == [0, 0, 0, 1, 1]
    assert past.basket_order.tolist() == [0, 1, 2, 0, 1]
    assert past.basket_time.tolist() == [moment(day) for day in (0, 10, 20, 5, 30)]


def test_an_item_counts_once_per_basket_at_the_baskets_first_moment() -> None:
    past = history(("u", "a", 1, "1"), ("u", "a", 2, "1"), ("u", "b", 0, "1"))
    assert len(past.item) == 2
    assert set(past.time.tolist()) == {moment(0)}


def test_the_same_basket_id_of_two_users_is_two_baskets() -> None:
    assert len(history(("u", "a", 0, "1"), ("v", "a", 0, "1")).basket_user) == 2


def test_requests_have_enough_earlier_baskets() -> None:
    past = select_requests(history(*SHOP), moment(8), 2)
    assert past.user.tolist() == [0]
    assert past.time.tolist() == [moment(20)]
    assert past.n_true().tolist() == [1]
    assert past.n_warm == 1


def test_without_enough_earlier_baskets_anywhere_all_are_predicted() -> None:
    past = select_requests(history(*SHOP), moment(8), 9)
    assert len(past.user) == 3
    assert past.n_warm == 0


def test_frequency_counts_and_the_more_recent_breaks_ties() -> None:
    shop = history(*SHOP, ("u", "b", 40, "6"))
    request = select_requests(shop, moment(40), 0)
    (own,) = personal_lists(shop, request, [FrequencyBaseline(None)])
    assert names(shop, own[0]) == ["a", "c", "b"]  # a twice; c on day 20 after b on day 0


def test_decay_prefers_one_recent_purchase_to_two_old_ones() -> None:
    # e^-(40-20)/10 = .135 for c; e^-4 + e^-3 = .068 for a
    shop = history(*SHOP, ("u", "b", 40, "6"))
    request = select_requests(shop, moment(40), 0)
    fast, slow = personal_lists(shop, request, [FrequencyBaseline(10.0), FrequencyBaseline(365.0)])
    assert names(shop, fast[0]) == ["c", "a", "b"]
    assert names(shop, slow[0]) == ["a", "c", "b"]


def test_purchases_before_since_do_not_count() -> None:
    shop = history(*SHOP, ("u", "b", 40, "6"))
    request = select_requests(shop, moment(40), 0)
    for way in (FrequencyBaseline(None, moment(10)), FrequencyBaseline(60.0, moment(10))):
        (own,) = personal_lists(shop, request, [way])
        assert set(names(shop, own[0])) == {"a", "c"}


def test_nothing_at_or_after_the_request_counts() -> None:
    shop = history(*SHOP)
    request = select_requests(shop, moment(20), 2)
    (own,) = personal_lists(shop, request, [FrequencyBaseline(None)])
    assert names(shop, own[0]) == ["a", "b"]


def test_the_best_ten_of_many_are_those_of_a_full_sort() -> None:
    random = np.random.default_rng(0)
    n_lines = 400
    lines = [
        (f"u{random.integers(3)}", f"i{random.integers(60):02d}", float(day), f"b{day}")
        for day in range(n_lines)
    ]
    shop = history(*lines, *[(f"u{n}", "i00", n_lines + n, f"x{n}") for n in range(3)])
    request = select_requests(shop, moment(n_lines), 0)
    (own,) = personal_lists(shop, request, [FrequencyBaseline(50.0)])
    for row, user in enumerate(request.user):
        mine = (shop.user == user) & (shop.time < request.time[row])
        age = (request.time[row] - shop.time[mine]) / 86_400e6
        score = np.bincount(shop.item[mine], np.exp(-age / 50), minlength=shop.n_items() + 1)
        assert own[row].tolist() == np.argsort(-score)[:10].tolist()


def test_popular_items_are_counted_in_their_window_and_for_their_users() -> None:
    shop = history(*SHOP)
    assert names(shop, popular_items(shop, moment(40), 100)) == ["a", "b", "c"]
    assert names(shop, popular_items(shop, moment(25), 10)) == ["c"]  # day 15 on
    only_v = np.array([False, True])
    assert names(shop, popular_items(shop, moment(10), 10, only_v)) == ["a"]


def test_empty_places_stay_empty_without_popular_items() -> None:
    lists = np.array([[4, 0], [0, 0]])
    assert fill_lists(lists, np.empty(0, np.int64)).tolist() == lists.tolist()


@pytest.mark.parametrize(
    ("metric", "expected"), [("recall@10", 0.5), ("hit_rate@10", 1.0), ("ndcg@10", 0.6131)]
)
def test_measures_are_those_of_ranking(metric: str, expected: float) -> None:
    # one of two wanted items at rank 1: recall 1/2, ndcg 1 / (1 + 1/log2(3)) = .6131
    shop = history(("u", "a", 0, "1"), ("u", "a", 1, "2"), ("u", "c", 1, "2"))
    request = select_requests(shop, moment(1), 1)
    (own,) = personal_lists(shop, request, [FrequencyBaseline(None)])
    assert request.measure(own, metric)[0] == pytest.approx(expected, abs=1e-4)

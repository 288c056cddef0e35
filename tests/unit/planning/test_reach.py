import numpy as np
import pytest

from pipeline.planning.frequency import select_requests
from pipeline.planning.reach import (
    CATALOGUE,
    EXPLORE,
    OWN_HISTORY,
    SAME_TYPES,
    find_reachable,
    measure_reach,
    repeat_fractions,
)
from tests.unit.planning.test_frequency import history, moment

# v wants a (hers), b (of a's type, known from u), c (of another type, known) and d (never sold)
SHOP = (
    ("u", "a", 0, "1"),
    ("u", "b", 1, "2"),
    ("u", "b", 2, "3"),
    ("u", "c", 3, "4"),
    ("v", "a", 4, "5"),
    ("v", "a", 10, "6"),
    ("v", "b", 10, "6"),
    ("v", "c", 10, "6"),
    ("v", "d", 10, "6"),
)


def test_each_generator_reaches_what_it_knows() -> None:
    shop = history(*SHOP)
    request = select_requests(shop, moment(10), 1)
    masks = find_reachable(shop, request, n_explore=1, until=moment(4))
    wanted = {name: int(mask.sum()) for name, mask in masks.items()}
    # the one most popular item before day 4 is b
    assert wanted == {OWN_HISTORY: 1, EXPLORE: 2, SAME_TYPES: 2, CATALOGUE: 3}


def test_shares_and_the_perfect_ranking_are_means_over_baskets() -> None:
    shop = history(*SHOP)
    request = select_requests(shop, moment(10), 1)
    rows = measure_reach(shop, request, n_explore=1, until=moment(4), metric="recall@10")
    assert [row.reachable_fraction for row in rows] == [0.25, 0.5, 0.5, 0.75]
    assert [row.best_metric for row in rows] == [0.25, 0.5, 0.5, 0.75]


def test_ten_places_bound_the_perfect_ranking() -> None:
    many = [("u", f"i{n:02d}", day, str(day)) for n in range(20) for day in (0, 1)]
    shop = history(*many)
    request = select_requests(shop, moment(1), 1)
    own = measure_reach(shop, request, n_explore=1, until=moment(1), metric="recall@10")[0]
    assert (own.reachable_fraction, own.best_metric) == (1.0, 0.5)


def test_what_comes_later_is_not_reachable() -> None:
    shop = history(("u", "a", 0, "1"), ("u", "b", 1, "2"), ("u", "b", 2, "3"))
    request = select_requests(shop, moment(1), 1)
    masks = find_reachable(shop, request, n_explore=9, until=moment(1))
    assert masks[OWN_HISTORY].tolist() == [False, True]
    assert masks[CATALOGUE].tolist() == [False, True]


def test_repeat_shares_leave_first_baskets_out() -> None:
    # second basket {a, b, c} after {a}: 1 of 3 items, 2 of 3 types
    shop = history(("u", "a", 0, "1"), ("u", "a", 1, "2"), ("u", "b", 1, "2"), ("u", "c", 1, "2"))
    assert repeat_fractions(shop) == pytest.approx((1 / 3, 2 / 3), abs=1e-6)
    assert np.array_equal(shop.basket_order, [0, 1])


def test_without_a_second_basket_nothing_repeats() -> None:
    assert repeat_fractions(history(("u", "a", 0, "1"))) == (0.0, 0.0)

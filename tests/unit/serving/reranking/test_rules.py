"""What comes on a shelf: checked against `fill_slots` and against lists one can follow by hand."""

from random import Random

import numpy as np
import pytest

from pipeline.recommenders.base.recommender import Ranked, fill_slots
from pipeline.serving.reranking.rules import (
    EXPLORE,
    POPULAR,
    REPEAT,
    ItemSelector,
    RerankingRules,
    SelectedItems,
)

N_ITEMS = 40


def lists(repeat: list[int], explore: list[int], popular: list[int], width: int) -> list[int]:
    return [item for each in (repeat, explore, popular) for item in [*each, *[0] * width][:width]]


def shelf(
    items: list[int], rules: RerankingRules, category: list[int] | None = None
) -> SelectedItems:
    scores = [1.0] * len(items)
    return ItemSelector(items, scores, rules, category or [0] * N_ITEMS).choose(None, None)


def chosen(
    *lists_: list[int], rules: RerankingRules, category: list[int] | None = None
) -> list[int]:
    found = shelf(lists(*lists_, width=30), rules, category)
    assert not found.needs_longer
    return [choice.item for choice in found.chosen]


@pytest.mark.parametrize("seed", range(200))
def test_without_rules_the_shelf_is_that_of_fill_slots(seed: int) -> None:
    random = np.random.default_rng(seed)
    items = random.permutation(np.arange(1, N_ITEMS))
    n_repeat = int(random.integers(0, 15))
    k = int(random.integers(1, 20))
    explore_slots = int(random.integers(0, k + 1))
    width = N_ITEMS
    flat = lists(
        items[:n_repeat].tolist(),
        items[n_repeat : n_repeat + int(random.integers(0, 20))].tolist(),
        random.permutation(np.arange(1, N_ITEMS)).tolist(),
        width,
    )
    columns = np.array([flat], dtype=np.int32).reshape(3, 1, width)
    ranked = Ranked(*(part for column in columns for part in (column, column.astype(np.float32))))
    expected = fill_slots(ranked, k, explore_slots)
    found = shelf(flat, RerankingRules(k, explore_slots)).chosen
    assert [choice.item for choice in found] == expected.items[0][expected.items[0] > 0].tolist()
    assert [choice.slot for choice in found] == expected.slots[0][: len(found)].tolist()


@pytest.mark.parametrize("seed", range(100))
def test_a_blocked_item_is_as_if_the_model_had_never_listed_it(seed: int) -> None:
    random = np.random.default_rng(seed)
    items = random.permutation(np.arange(1, N_ITEMS)).tolist()
    popular = random.permutation(np.arange(1, N_ITEMS)).tolist()
    blocked = frozenset(random.choice(np.arange(1, N_ITEMS), 20, replace=False).tolist())
    parts = items[:12], items[12:30], popular
    rules = RerankingRules(10, 3, blocked)
    free = [[item for item in part if item not in blocked] for part in parts]
    found = shelf(lists(*parts, width=N_ITEMS), rules)
    assert found.chosen == [
        choice._replace(place=place.place)
        for choice, place in zip(
            shelf(lists(*free, width=N_ITEMS), RerankingRules(10, 3)).chosen,
            found.chosen,
            strict=True,
        )
    ]


def test_all_of_what_was_bought_being_blocked_is_as_if_nothing_had_been_bought() -> None:
    found = chosen([1, 2], [5, 6], [7, 8, 9], rules=RerankingRules(3, 1, frozenset({1, 2})))
    assert found == [7, 8, 5]


def test_a_list_that_was_cut_before_the_shelf_was_full_asks_for_more() -> None:
    blocked = frozenset({1, 2})
    cut = shelf(lists([1, 2, 3], [5, 6, 7], [9, 10, 11], width=3), RerankingRules(3, 0, blocked))
    assert cut.needs_longer
    whole = shelf(lists([1, 2, 3], [5, 6], [9, 10], width=4), RerankingRules(3, 0, blocked))
    assert not whole.needs_longer
    assert [choice.item for choice in whole.chosen] == [3, 5, 6]


def test_a_category_has_at_most_its_share_as_long_as_others_are_left() -> None:
    category = [0, 1, 1, 1, 2, 2, 3, 3, 4, 4] + [0] * 30
    repeat, explore = [1, 2, 3, 4], [6, 7, 8]
    rules = RerankingRules(4, 1, diversity=0.5)  # two of each
    assert chosen(repeat, explore, [], rules=rules, category=category) == [1, 2, 4, 6]
    rules = RerankingRules(4, 1, diversity=1.0)
    assert chosen(repeat, explore, [], rules=rules, category=category) == [1, 4, 6, 8]
    rules = RerankingRules(6, 2, diversity=1.0)  # nothing else is left: the rule gives way
    assert chosen(repeat, explore, [], rules=rules, category=category) == [1, 4, 6, 8, 2, 3]


def test_items_without_a_category_are_not_limited() -> None:
    assert chosen([1, 2, 3], [], [], rules=RerankingRules(3, 0, diversity=1.0)) == [1, 2, 3]


def test_without_diversity_a_category_may_fill_the_shelf() -> None:
    assert chosen([1, 2, 3], [], [], rules=RerankingRules(3, 0), category=[1] * N_ITEMS) == [
        1,
        2,
        3,
    ]


def test_each_choice_says_where_it_stands_in_the_lists() -> None:
    items = lists([1], [5, 6], [5, 7], width=3)
    found = shelf(items, RerankingRules(4, 1)).chosen
    assert [(each.item, each.place, each.slot) for each in found] == [
        (1, 0, REPEAT),
        (5, 3, EXPLORE),
        (6, 4, EXPLORE),
        (7, 7, POPULAR),
    ]
    assert {each.propensity for each in found} == {1.0}


def test_a_shelf_never_has_an_item_twice_nor_a_blocked_one() -> None:
    random = Random(0)
    for _ in range(300):
        parts = [random.sample(range(1, N_ITEMS), random.randint(0, 20)) for _ in range(3)]
        blocked = frozenset(random.sample(range(1, N_ITEMS), random.randint(0, 30)))
        k = random.randint(1, 30)
        rules = RerankingRules(k, random.randint(0, k), blocked, random.random())
        category = [0, *random.choices(range(6), k=N_ITEMS - 1)]
        found = [each.item for each in shelf(lists(*parts, width=20), rules, category).chosen]
        free = set().union(*parts) - blocked
        assert len(found) == len(set(found)) == min(k, len(free))
        assert set(found) <= free


TITLES = [0, 1, 1, 2, 3, 3, 4, 4, 5, 0, 0, *range(6, 35)]


def titled(*lists_: list[int], rules: RerankingRules) -> list[int]:
    flat = lists(*lists_, width=30)
    found = ItemSelector(flat, [1.0] * len(flat), rules, [0] * N_ITEMS, TITLES).choose(None, None)
    return [choice.item for choice in found.chosen]


def test_a_newcomer_s_list_has_no_two_products_that_read_the_same() -> None:
    popular = [1, 2, 3, 4, 5, 9, 10]  # 1 and 2 read the same, 4 and 5 too; 9 and 10 have no title
    assert titled([], [], popular, rules=RerankingRules(5, 0)) == [1, 2, 3, 4, 5]
    rules = RerankingRules(5, 0, distinct_titles="newcomers")
    assert titled([], [], popular, rules=rules) == [1, 3, 4, 9, 10]


def test_an_explore_slot_of_a_newcomer_does_not_read_like_a_popular_one() -> None:
    rules = RerankingRules(3, 1, distinct_titles="newcomers")
    assert titled([], [2, 5, 8], [1, 4], rules=rules) == [1, 4, 8]


def test_products_that_read_the_same_come_when_no_others_are_left() -> None:
    rules = RerankingRules(5, 0, distinct_titles="newcomers")
    assert titled([], [], [1, 2, 3, 4, 5], rules=rules) == [1, 3, 4, 2, 5]


def test_what_was_bought_before_may_read_the_same_and_others_not_if_all_shelves_are_meant() -> None:
    repeat, explore = [1, 2, 3], [5, 4, 8]
    for distinct in ("off", "newcomers"):
        rules = RerankingRules(5, 2, distinct_titles=distinct)
        assert titled(repeat, explore, [], rules=rules) == [1, 2, 3, 5, 4]
    rules = RerankingRules(5, 2, distinct_titles="all")
    assert titled(repeat, explore, [], rules=rules) == [1, 2, 3, 5, 8]
    assert titled([4, 3], [5, 8], [], rules=RerankingRules(3, 1, distinct_titles="all")) == [
        4,
        3,
        8,
    ]


def test_who_bought_only_what_is_blocked_counts_as_a_newcomer() -> None:
    rules = RerankingRules(3, 0, frozenset({8}), distinct_titles="newcomers")
    assert titled([8], [], [1, 2, 3, 4], rules=rules) == [1, 3, 4]


@pytest.mark.parametrize("seed", range(50))
def test_distinct_titles_leave_out_only_what_reads_like_something_above_it(seed: int) -> None:
    random = Random(seed)
    popular = random.sample(range(1, N_ITEMS), 30)
    rules = RerankingRules(8, 0, distinct_titles="newcomers")
    expected: list[int] = []
    for item in popular:
        alike = TITLES[item] and TITLES[item] in [TITLES[other] for other in expected]
        expected += [] if alike else [item]
    assert titled([], [], popular, rules=rules) == expected[:8]


def test_a_list_too_short_for_distinct_titles_would_like_to_be_longer() -> None:
    rules = RerankingRules(3, 0, distinct_titles="newcomers")
    cut = lists([], [], [1, 2, 4], width=3)
    found = ItemSelector(cut, [1.0] * 9, rules, [0] * N_ITEMS, TITLES).choose(None, None)
    assert (found.likes_longer, found.needs_longer) == (True, False)

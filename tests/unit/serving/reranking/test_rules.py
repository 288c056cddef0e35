"""Reranking rules, against `fill_slots` and against lists worked out by hand."""

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
    return [item for part in (repeat, explore, popular) for item in [*part, *[0] * width][:width]]


def select(
    items: list[int], rules: RerankingRules, category: list[int] | None = None
) -> SelectedItems:
    scores = [1.0] * len(items)
    return ItemSelector(items, scores, rules, category or [0] * N_ITEMS).select(None, None)


def chosen(
    *lists_: list[int], rules: RerankingRules, category: list[int] | None = None
) -> list[int]:
    selected = select(lists(*lists_, width=30), rules, category)
    assert not selected.needs_longer
    return [choice.item for choice in selected.chosen]


@pytest.mark.parametrize("seed", range(200))
def test_without_rules_the_items_are_those_of_fill_slots(seed: int) -> None:
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
    selected = select(flat, RerankingRules(k, explore_slots)).chosen
    assert [choice.item for choice in selected] == expected.items[0][expected.items[0] > 0].tolist()
    assert [choice.slot for choice in selected] == expected.slots[0][: len(selected)].tolist()


@pytest.mark.parametrize("seed", range(100))
def test_blocking_an_item_equals_removing_it_from_the_lists(seed: int) -> None:
    random = np.random.default_rng(seed)
    items = random.permutation(np.arange(1, N_ITEMS)).tolist()
    popular = random.permutation(np.arange(1, N_ITEMS)).tolist()
    blocked = frozenset(random.choice(np.arange(1, N_ITEMS), 20, replace=False).tolist())
    parts = items[:12], items[12:30], popular
    rules = RerankingRules(10, 3, blocked)
    free = [[item for item in part if item not in blocked] for part in parts]
    selected = select(lists(*parts, width=N_ITEMS), rules)
    assert selected.chosen == [
        choice._replace(position=actual.position)
        for choice, actual in zip(
            select(lists(*free, width=N_ITEMS), RerankingRules(10, 3)).chosen,
            selected.chosen,
            strict=True,
        )
    ]


def test_blocking_all_repeat_items_equals_having_none() -> None:
    items = chosen([1, 2], [5, 6], [7, 8, 9], rules=RerankingRules(3, 1, frozenset({1, 2})))
    assert items == [7, 8, 5]


def test_a_list_that_ends_at_its_width_needs_to_be_longer() -> None:
    blocked = frozenset({1, 2})
    cut = select(lists([1, 2, 3], [5, 6, 7], [9, 10, 11], width=3), RerankingRules(3, 0, blocked))
    assert cut.needs_longer
    whole = select(lists([1, 2, 3], [5, 6], [9, 10], width=4), RerankingRules(3, 0, blocked))
    assert not whole.needs_longer
    assert [choice.item for choice in whole.chosen] == [3, 5, 6]


def test_a_category_has_at_most_its_share_while_others_are_left() -> None:
    category = [0, 1, 1, 1, 2, 2, 3, 3, 4, 4] + [0] * 30
    repeat, explore = [1, 2, 3, 4], [6, 7, 8]
    rules = RerankingRules(4, 1, diversity=0.5)  # two of each
    assert chosen(repeat, explore, [], rules=rules, category=category) == [1, 2, 4, 6]
    rules = RerankingRules(4, 1, diversity=1.0)
    assert chosen(repeat, explore, [], rules=rules, category=category) == [1, 4, 6, 8]
    rules = RerankingRules(6, 2, diversity=1.0)  # nothing else is left: the rule yields
    assert chosen(repeat, explore, [], rules=rules, category=category) == [1, 4, 6, 8, 2, 3]


def test_items_without_a_category_are_not_limited() -> None:
    assert chosen([1, 2, 3], [], [], rules=RerankingRules(3, 0, diversity=1.0)) == [1, 2, 3]


def test_without_diversity_one_category_may_have_all_places() -> None:
    assert chosen([1, 2, 3], [], [], rules=RerankingRules(3, 0), category=[1] * N_ITEMS) == [
        1,
        2,
        3,
    ]


def test_each_choice_has_its_position_in_the_lists() -> None:
    items = lists([1], [5, 6], [5, 7], width=3)
    selected = select(items, RerankingRules(4, 1)).chosen
    assert [(choice.item, choice.position, choice.slot) for choice in selected] == [
        (1, 0, REPEAT),
        (5, 3, EXPLORE),
        (6, 4, EXPLORE),
        (7, 7, POPULAR),
    ]
    assert {choice.propensity for choice in selected} == {1.0}


def test_items_are_unique_and_not_blocked() -> None:
    random = Random(0)
    for _ in range(300):
        parts = [random.sample(range(1, N_ITEMS), random.randint(0, 20)) for _ in range(3)]
        blocked = frozenset(random.sample(range(1, N_ITEMS), random.randint(0, 30)))
        k = random.randint(1, 30)
        rules = RerankingRules(k, random.randint(0, k), blocked, random.random())
        category = [0, *random.choices(range(6), k=N_ITEMS - 1)]
        selected = [
            choice.item for choice in select(lists(*parts, width=20), rules, category).chosen
        ]
        free = set().union(*parts) - blocked
        assert len(selected) == len(set(selected)) == min(k, len(free))
        assert set(selected) <= free


TITLES = [0, 1, 1, 2, 3, 3, 4, 4, 5, 0, 0, *range(6, 35)]


def titled(*lists_: list[int], rules: RerankingRules) -> list[int]:
    flat = lists(*lists_, width=30)
    selected = ItemSelector(flat, [1.0] * len(flat), rules, [0] * N_ITEMS, TITLES).select(
        None, None
    )
    return [choice.item for choice in selected.chosen]


def test_a_newcomer_gets_no_two_items_with_one_title() -> None:
    popular = [1, 2, 3, 4, 5, 9, 10]  # 1 and 2 share a title, 4 and 5 too; 9 and 10 have none
    assert titled([], [], popular, rules=RerankingRules(5, 0)) == [1, 2, 3, 4, 5]
    rules = RerankingRules(5, 0, distinct_titles="newcomers")
    assert titled([], [], popular, rules=rules) == [1, 3, 4, 9, 10]


def test_an_explore_item_of_a_newcomer_does_not_share_a_title_with_a_popular_one() -> None:
    rules = RerankingRules(3, 1, distinct_titles="newcomers")
    assert titled([], [2, 5, 8], [1, 4], rules=rules) == [1, 4, 8]


def test_items_share_a_title_only_when_no_others_are_left() -> None:
    rules = RerankingRules(5, 0, distinct_titles="newcomers")
    assert titled([], [], [1, 2, 3, 4, 5], rules=rules) == [1, 3, 4, 2, 5]


def test_distinct_titles_for_all_users_exempt_repeat_items() -> None:
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


def test_a_user_with_only_blocked_repeat_items_is_a_newcomer() -> None:
    rules = RerankingRules(3, 0, frozenset({8}), distinct_titles="newcomers")
    assert titled([8], [], [1, 2, 3, 4], rules=rules) == [1, 3, 4]


@pytest.mark.parametrize("seed", range(50))
def test_distinct_titles_leave_out_only_repeated_titles(seed: int) -> None:
    random = Random(seed)
    popular = random.sample(range(1, N_ITEMS), 30)
    rules = RerankingRules(8, 0, distinct_titles="newcomers")
    expected: list[int] = []
    for item in popular:
        alike = TITLES[item] and TITLES[item] in [TITLES[other] for other in expected]
        expected += [] if alike else [item]
    assert titled([], [], popular, rules=rules) == expected[:8]


def test_a_list_too_short_for_distinct_titles_likes_to_be_longer() -> None:
    rules = RerankingRules(3, 0, distinct_titles="newcomers")
    cut = lists([], [], [1, 2, 4], width=3)
    selected = ItemSelector(cut, [1.0] * 9, rules, [0] * N_ITEMS, TITLES).select(None, None)
    assert (selected.likes_longer, selected.needs_longer) == (True, False)

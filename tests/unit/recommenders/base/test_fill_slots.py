"""One list of three: what was bought before, what is new, what is popular."""

import numpy as np
import pytest

from pipeline.contracts.errors import RequestError
from pipeline.recommenders.base.recommender import Ranked, Recommendations, check_sizes, fill_slots

REPEAT, EXPLORE, POPULAR = range(3)


def ranked(repeat: list[int], explore: list[int], popular: list[int]) -> Ranked:
    """One request; scores fall from 1 in each list."""
    width = max(len(repeat), len(explore), len(popular))
    arrays = []
    for items in (repeat, explore, popular):
        padded = [*items, *[0] * (width - len(items))]
        arrays.append(np.array([padded], dtype=np.int32))
        scores = [1.0 / (at + 1) if item else 0.0 for at, item in enumerate(padded)]
        arrays.append(np.array([scores], dtype=np.float32))
    return Ranked(*arrays)


def only(result: Recommendations) -> tuple[list[int], list[int]]:
    return result.items[0].tolist(), result.slots[0].tolist()


def test_repeat_items_come_first_and_explore_items_in_their_slots() -> None:
    filled = fill_slots(ranked([1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]), 4, 2)
    assert only(filled) == ([1, 2, 5, 6], [REPEAT, REPEAT, EXPLORE, EXPLORE])
    assert filled.scores[0].tolist() == [1.0, 0.5, 1.0, 0.5]


def test_without_explore_slots_the_repeat_items_fill_the_list() -> None:
    assert only(fill_slots(ranked([1, 2], [5, 6], [9, 9]), 2, 0)) == ([1, 2], [REPEAT] * 2)


def test_all_slots_may_be_for_exploring() -> None:
    assert only(fill_slots(ranked([1, 2], [5, 6], [9, 9]), 2, 2)) == ([5, 6], [EXPLORE] * 2)


def test_what_runs_out_is_filled_from_explore_and_then_from_popular() -> None:
    filled = fill_slots(ranked([1], [5, 6], [1, 5, 9, 10]), 5, 1)
    assert only(filled) == ([1, 5, 6, 9, 10], [REPEAT, EXPLORE, EXPLORE, POPULAR, POPULAR])


def test_without_repeat_items_popular_ones_take_their_place() -> None:
    filled = fill_slots(ranked([], [5, 6], [1, 5, 9, 10]), 4, 1)
    assert only(filled) == ([1, 5, 9, 6], [POPULAR, POPULAR, POPULAR, EXPLORE])


def test_missing_explore_items_are_filled_with_repeat_items() -> None:
    assert only(fill_slots(ranked([1, 2, 3], [], []), 3, 2)) == ([1, 2, 3], [REPEAT] * 3)


def test_no_item_comes_twice() -> None:
    filled = fill_slots(ranked([3, 1], [1, 2], [3, 2, 1, 4]), 6, 1)
    items = filled.items[0]
    assert items.tolist() == [3, 1, 2, 4, 0, 0]
    assert len(set(items[items > 0])) == 4


def test_a_k_beyond_the_catalogue_is_filled_with_nothing() -> None:
    filled = fill_slots(ranked([1], [2], [1, 2, 3]), 50, 5)
    assert filled.items.shape == filled.scores.shape == filled.slots.shape == (1, 50)
    assert filled.items[0, :4].tolist() == [1, 2, 3, 0]
    assert not filled.items[0, 3:].any()
    assert not filled.scores[0, 3:].any()


def test_requests_do_not_mix() -> None:
    one, other = ranked([1, 2], [3, 4], [5, 6]), ranked([7, 0], [8, 9], [1, 2])
    names = Ranked.__dataclass_fields__
    both = Ranked(**{n: np.concatenate([getattr(one, n), getattr(other, n)]) for n in names})
    filled = fill_slots(both, 3, 1)
    assert filled.items.tolist() == [[1, 2, 3], [7, 8, 9]]


@pytest.mark.parametrize(("k", "explore_slots"), [(0, 0), (-1, 0), (5, 6), (5, -1)])
def test_impossible_sizes_are_refused(k: int, explore_slots: int) -> None:
    with pytest.raises(RequestError, match=r", got -?\d+"):
        check_sizes(k, explore_slots)


@pytest.mark.parametrize(("k", "explore_slots"), [(1, 0), (1, 1), (5, 5), (1000, 0)])
def test_possible_sizes_pass(k: int, explore_slots: int) -> None:
    check_sizes(k, explore_slots)

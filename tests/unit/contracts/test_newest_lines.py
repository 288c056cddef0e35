"""Lines before a moment, compared with a loop over all lines."""

import ast

import numpy as np
import pytest

from pipeline.contracts.newest_lines import EarlierLines
from tests.support.tiny_shop import PROJECT

# User 0: two baskets of items 1 and 2; user 1: none; user 2: five baskets of item 1, one of item 3.
SPLITS = np.array([0, 4, 4, 10])
ITEM = np.array([1, 1, 2, 2, 1, 1, 1, 1, 1, 3])
BASKET = np.array([1, 0, 1, 0, 5, 4, 3, 2, 0, 1])
TIME = 10.0 * BASKET


def lines(maximum: int | None) -> EarlierLines:
    return EarlierLines(SPLITS, item=ITEM, basket=BASKET, time=TIME, maximum=maximum)


def test_all_lines_strictly_before_the_moment_are_found_in_their_order() -> None:
    request, line_numbers = lines(None).before(
        np.array([2, 0, -1, 1]), np.array([30.0, 5.0, 9.0, 9.0])
    )
    assert request.tolist() == [0, 0, 0, 1, 1]
    assert line_numbers.tolist() == [7, 8, 9, 1, 3]


def test_of_a_user_with_more_than_the_maximum_the_newest_are_found() -> None:
    request, line_numbers = lines(4).before(np.array([0, 2, 2]), np.array([99.0, 99.0, 21.0]))
    assert request.tolist() == [0] * 4 + [1] * 4 + [2] * 3
    assert line_numbers.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9]


def test_within_a_basket_at_the_edge_the_larger_items_are_the_newer() -> None:
    request, line_numbers = lines(3).before(np.array([0]), np.array([99.0]))
    assert (request.tolist(), line_numbers.tolist()) == ([0, 0, 0], [0, 2, 3])


@pytest.mark.parametrize("maximum", [1, 7, 40, 1000])
def test_it_finds_what_a_loop_finds(maximum: int) -> None:
    random = np.random.default_rng(maximum)
    user = np.sort(random.integers(0, 6, 300))
    item, basket = random.integers(1, 20, 300), random.integers(0, 30, 300)
    order = np.lexsort((-basket, item, user))
    user, item, basket = user[order], item[order], basket[order]
    splits = np.searchsorted(user, np.arange(7))
    asked, moments = random.integers(-1, 6, 50), random.integers(0, 31, 50)
    line_numbers = EarlierLines(splits, item=item, basket=basket, time=basket, maximum=maximum)
    request, lines = line_numbers.before(asked, moments)
    for number in range(50):
        inside = np.flatnonzero((user == asked[number]) & (basket < moments[number]))
        newest = sorted(inside, key=lambda at: (basket[at], item[at], -at))[-maximum:]
        if len(set(zip(basket[inside], item[inside], strict=True))) == len(inside):
            assert lines[request == number].tolist() == sorted(newest)
        assert (request == number).sum() == min(len(inside), maximum)


def test_every_history_of_the_pipeline_is_built_with_the_maximum() -> None:
    """A component without the maximum would hold other lines than the rest."""
    calls = []
    for path in sorted((PROJECT / "pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "build_histories":
                names = {keyword.arg for keyword in node.keywords}
                calls.append((str(path), "maximum_lines" in names))
    assert len(calls) >= 5
    assert [path for path, is_capped in calls if not is_capped] == []


@pytest.mark.parametrize("maximum", [None, 3])
def test_a_line_that_came_late_into_its_basket_is_not_known_before(maximum: int | None) -> None:
    """Item 3 came at 35 into the basket that began at 10."""
    late = np.where(ITEM == 3, 35.0, TIME)
    known = EarlierLines(SPLITS, item=ITEM, basket=BASKET, time=late, maximum=maximum)
    request, line_numbers = known.before(np.array([2, 2]), np.array([15.0, 99.0]))
    assert 9 not in line_numbers[request == 0]
    assert len(line_numbers[request == 1]) == (6 if maximum is None else maximum)

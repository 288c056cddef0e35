"""Carts and negatives: drawn by hash, within their limits."""

import numpy as np

from pipeline.labeling.examples.carts import draw_cart_sizes, take_prefix
from pipeline.labeling.examples.negatives import draw_distinct, draw_negatives
from pipeline.labeling.examples.ragged import Ragged

MANY = np.arange(3000, dtype=np.uint64)


def test_a_cart_never_holds_the_whole_basket() -> None:
    n_items = np.tile([1, 2, 3, 50], 750)
    sizes = draw_cart_sizes(n_items, np.ones(3000, dtype=bool), MANY, 1.0, seed=1)
    assert (sizes < n_items).all()
    assert set(sizes[n_items == 1]) == {0}
    assert set(sizes[n_items == 2]) == {1}
    assert set(sizes[n_items == 3]) == {1, 2}
    assert (sizes[n_items > 1] >= 1).all()


def test_the_share_of_examples_with_a_cart_is_the_one_asked_for() -> None:
    may = np.arange(3000) < 2000
    sizes = draw_cart_sizes(np.full(3000, 5), may, MANY, 0.3, seed=1)
    assert abs((sizes[:2000] > 0).mean() - 0.3) < 0.04  # four standard errors
    assert not sizes[2000:].any()


def test_a_prefix_follows_time_and_then_chance() -> None:
    items = Ragged(np.array([0, 3, 5]), np.array([10, 11, 12, 13, 14]))
    moments, ties = np.array([2, 1, 1, 0, 0]), np.array([0.0, 0.9, 0.1, 0.2, 0.1])
    assert take_prefix(items, moments, ties, np.array([2, 1])).lists() == [[12, 11], [14]]


def test_negatives_are_never_taken_items() -> None:
    pool = np.array([0, 2, 3, 5, 8])
    taken = Ragged.from_rows(np.repeat(np.arange(1000), 3), np.tile([2, 4, 8], 1000), 1000)
    result = draw_negatives(pool, taken, MANY[:1000], 2, seed=1).lists()
    pairs = [tuple(entry) for entry in result]
    assert set(pairs) == {(0, 3), (0, 5), (3, 5)}
    shares = [pairs.count(pair) / 1000 for pair in sorted(set(pairs))]
    assert np.allclose(shares, 1 / 3, atol=0.06)  # four standard errors


def test_all_that_is_left_is_drawn_from_a_small_pool() -> None:
    taken = Ragged(np.array([0, 2, 2]), np.array([1, 2]))
    negatives = draw_negatives(np.array([1, 2, 3]), taken, MANY[:2], 5, seed=1)
    assert negatives.lists() == [[3], [1, 2, 3]]


def test_an_empty_pool_has_no_negatives() -> None:
    taken = Ragged(np.array([0, 1]), np.array([1]))
    none = np.array([], dtype=np.int64)
    assert draw_negatives(none, taken, MANY[:1], 5, seed=1).lists() == [[]]


def test_another_seed_draws_other_numbers() -> None:
    sizes = np.full(50, 1000)
    assert (
        draw_distinct(sizes, MANY[:50], 5, seed=1) != draw_distinct(sizes, MANY[:50], 5, seed=2)
    ).any()

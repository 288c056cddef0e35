"""Carts of training examples: a first part of the basket, which leaves the rest as labels."""

import numpy as np
import numpy.typing as npt

from pipeline.labeling.examples.ragged import Longs, Ragged
from pipeline.labeling.examples.randomness import Hashes, uniform

MINIMUM_ITEMS = 2  # one for the cart and one label


def draw_cart_sizes(
    n_items: Longs, may_have: npt.NDArray[np.bool_], hashes: Hashes, fraction: float, seed: int
) -> Longs:
    """Return the number of items in each example's cart; at least one item stays a label.

    Args:
        n_items: [n_examples] relevant items in the basket.
        may_have: [n_examples] whether the example may have a cart.
        hashes: [n_examples] hashes that determine the draw together with the seed.
        fraction: Share of the eligible examples that get a cart, 0..1.
        seed: Seed of all draws.
    """
    chosen = uniform(seed, "cart", hashes) < fraction
    revealed = may_have & chosen & (n_items >= MINIMUM_ITEMS)
    size = 1 + np.floor(uniform(seed, "cart size", hashes) * (n_items - 1)).astype(np.int64)
    return np.where(revealed, size, 0)


def take_prefix(
    items: Ragged, moments: Longs, ties: npt.NDArray[np.float64], sizes: Longs
) -> Ragged:
    """Return the first `sizes` values of each list, in chronological order.

    Args:
        items: Lists of values.
        moments: [n_values] time of each value; many baskets have a single moment.
        ties: [n_values] random order of simultaneous values.
        sizes: [n_lists] number of values to take.
    """
    rows = items.rows()
    order = np.lexsort((ties, moments, rows))
    rank = np.arange(len(order)) - items.splits[rows]
    first = order[rank < sizes[rows]]
    return Ragged.from_rows(rows[first], items.values[first], len(items))

"""Part of a basket is already in the cart when a shopper asks: labels are what comes after it."""

import numpy as np
import numpy.typing as npt

from pipeline.labeling.examples.ragged import Longs, Ragged
from pipeline.labeling.examples.randomness import Hashes, uniform

MINIMUM_ITEMS = 2  # one for the cart and one to be predicted


def cart_sizes(
    n_items: Longs, may_have: npt.NDArray[np.bool_], hashes: Hashes, fraction: float, seed: int
) -> Longs:
    """Return how many items of each basket are in the cart: at least one is left as a label.

    Args:
        n_items: [n_examples] items wanted in the basket.
        may_have: [n_examples] whether the example may have a cart at all.
        hashes: [n_examples] what the draw depends on, besides the seed.
        fraction: Share of the examples that could have a cart that get one.
        seed: Of all draws.
    """
    chosen = uniform(seed, "cart", hashes) < fraction
    revealed = may_have & chosen & (n_items >= MINIMUM_ITEMS)
    size = 1 + np.floor(uniform(seed, "cart size", hashes) * (n_items - 1)).astype(np.int64)
    return np.where(revealed, size, 0)


def prefix(items: Ragged, moments: Longs, ties: npt.NDArray[np.float64], sizes: Longs) -> Ragged:
    """Return the first `sizes` values of each list, in the order of time.

    Args:
        items: The lists.
        moments: [n_values] when each came; baskets often know only one moment for all.
        ties: [n_values] random order of what came at the same moment.
        sizes: [n_lists].
    """
    rows = items.rows()
    order = np.lexsort((ties, moments, rows))
    rank = np.arange(len(order)) - items.splits[rows]
    first = order[rank < sizes[rows]]
    return Ragged.from_rows(rows[first], items.values[first], len(items))

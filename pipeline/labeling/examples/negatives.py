"""What was on offer and not bought: items drawn evenly, without replacement, the same every time.

Drawing `n` of `m` numbers uses Floyd's algorithm for all examples at once: exact, without
rejection, and of the same cost for small and large catalogues.

References:
    Bentley and Floyd, "A sample of brilliance", 1987, doi:10.1145/30401.315746.
"""

from datetime import timedelta

import numpy as np
import pandas as pd

from pipeline.labeling.examples.ragged import Longs, Ragged
from pipeline.labeling.examples.randomness import Hashes, uniform
from pipeline.labeling.examples.windows import Window


def on_offer(window: Window, sold: pd.DataFrame, offers: pd.DataFrame, on_offer_days: int) -> Longs:
    """Return the items sold or promoted in the days before the window opens, ascending.

    Args:
        window: Its cutoff ends the days; it does not belong to them.
        sold: `item` (position among all names) and timestamp of purchases.
        offers: `item`, starts and ends of promotions.
        on_offer_days: How many days.
    """
    opens = pd.Timestamp(window.cutoff - timedelta(days=on_offer_days))
    closes = pd.Timestamp(window.cutoff)
    lately = sold.loc[(sold["timestamp"] >= opens) & (sold["timestamp"] < closes), "item"]
    promoted = offers.loc[(offers["starts"] < closes) & (offers["ends"] > opens), "item"]
    return np.union1d(lately.unique(), promoted.unique()).astype(np.int64)


def draw_negatives(
    pool: Longs, taken: Ragged, hashes: Hashes, n_negatives: int, seed: int
) -> Ragged:
    """Return for each example up to `n_negatives` different items of `pool`, ascending.

    Args:
        pool: [n_pool] items on offer, ascending.
        taken: Per example the items that may not be drawn, each list ascending, none twice.
        hashes: [n_examples] what the draw depends on, besides the seed.
        n_negatives: How many; all that are left where the pool is smaller.
        seed: Of all draws.
    """
    rows = taken.rows()
    place = np.searchsorted(pool, taken.values)
    inside = np.isin(taken.values, pool)
    rows, place = rows[inside], place[inside]
    free = len(pool) - np.bincount(rows, minlength=len(taken))
    drawn = floyd(free, hashes, n_negatives, seed)
    owner, number = np.nonzero(drawn >= 0)
    positions = _skip(rows, place, owner, drawn[owner, number], len(taken), len(pool) + 1)
    order = np.lexsort((positions, owner))
    return Ragged.from_rows(owner[order], pool[positions[order]], len(taken))


def floyd(sizes: Longs, hashes: Hashes, n: int, seed: int) -> Longs:
    """Return per row `n` different numbers below its size, -1 where the size is exceeded.

    >>> sorted(floyd(np.array([3]), np.array([7], dtype=np.uint64), 4, seed=1)[0].tolist())
    [-1, 0, 1, 2]
    """
    draws = uniform(seed, "negatives", hashes[:, None], np.arange(n, dtype=np.uint64)[None, :])
    found = np.full((len(sizes), n), -1, dtype=np.int64)
    for number in range(n):
        last = sizes - n + number  # the largest number that may be drawn in this step
        candidate = np.floor(draws[:, number] * (last + 1)).astype(np.int64)
        again = (found == candidate[:, None]).any(axis=1)
        found[:, number] = np.where(last < 0, -1, np.where(again, last, candidate))
    return found


def _skip(rows: Longs, place: Longs, owner: Longs, drawn: Longs, n_rows: int, width: int) -> Longs:
    """Return places in the pool: the drawn numbers count only the places that are free."""
    starts = np.searchsorted(rows, np.arange(n_rows))
    before = place - (np.arange(len(rows)) - starts[rows])  # free places before each taken one
    keys = rows * width + before
    passed = np.searchsorted(keys, owner * width + drawn, side="right") - starts[owner]
    return np.asarray(drawn + passed, dtype=np.int64)

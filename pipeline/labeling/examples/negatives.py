"""Draw negatives: items on offer but not bought, uniformly and without replacement.

Floyd's algorithm draws `n` of `m` numbers for all examples at once: it is exact, needs no
rejection, and its cost is independent of the catalogue size.

References:
    Bentley and Floyd, "A sample of brilliance", 1987, doi:10.1145/30401.315746.
"""

from datetime import timedelta

import numpy as np
import pandas as pd

from pipeline.labeling.examples.ragged import Longs, Ragged
from pipeline.labeling.examples.randomness import Hashes, uniform
from pipeline.labeling.examples.windows import Window


def select_on_offer(
    window: Window, sold: pd.DataFrame, offers: pd.DataFrame, on_offer_days: int
) -> Longs:
    """Return the items sold or promoted in the days before the window opens, ascending.

    Args:
        window: Window whose cutoff ends the period, exclusive.
        sold: `item` (position among all names) and timestamp of purchases.
        offers: `item`, starts and ends of promotions.
        on_offer_days: Length of the period in days.
    """
    opens = pd.Timestamp(window.cutoff - timedelta(days=on_offer_days))
    closes = pd.Timestamp(window.cutoff)
    lately = sold.loc[(sold["timestamp"] >= opens) & (sold["timestamp"] < closes), "item"]
    promoted = offers.loc[(offers["starts"] < closes) & (offers["ends"] > opens), "item"]
    return np.union1d(lately.unique(), promoted.unique()).astype(np.int64)


def draw_negatives(
    pool: Longs, taken: Ragged, hashes: Hashes, n_negatives: int, seed: int
) -> Ragged:
    """Return up to `n_negatives` distinct items of `pool` per example, ascending.

    Args:
        pool: [n_pool] items on offer, ascending.
        taken: Items excluded per example, ascending and distinct.
        hashes: [n_examples] hashes that determine the draw together with the seed.
        n_negatives: Number of negatives; a smaller pool yields all its free items.
        seed: Seed of all draws.
    """
    rows = taken.rows()
    place = np.searchsorted(pool, taken.values)
    inside = np.isin(taken.values, pool)
    rows, place = rows[inside], place[inside]
    free = len(pool) - np.bincount(rows, minlength=len(taken))
    drawn = draw_distinct(free, hashes, n_negatives, seed)
    owner, number = np.nonzero(drawn >= 0)
    positions = _skip(rows, place, owner, drawn[owner, number], len(taken), len(pool) + 1)
    order = np.lexsort((positions, owner))
    return Ragged.from_rows(owner[order], pool[positions[order]], len(taken))


def draw_distinct(sizes: Longs, hashes: Hashes, n: int, seed: int) -> Longs:
    """Return `n` distinct numbers below the size of each row, -1 beyond the size.

    >>> sorted(draw_distinct(np.array([3]), np.array([7], dtype=np.uint64), 4, seed=1)[0].tolist())
    [-1, 0, 1, 2]
    """
    draws = uniform(seed, "negatives", hashes[:, None], np.arange(n, dtype=np.uint64)[None, :])
    drawn = np.full((len(sizes), n), -1, dtype=np.int64)
    for number in range(n):
        last = sizes - n + number  # largest number of this step
        candidate = np.floor(draws[:, number] * (last + 1)).astype(np.int64)
        again = (drawn == candidate[:, None]).any(axis=1)
        drawn[:, number] = np.where(last < 0, -1, np.where(again, last, candidate))
    return drawn


def _skip(rows: Longs, place: Longs, owner: Longs, drawn: Longs, n_rows: int, width: int) -> Longs:
    """Return positions in the pool of drawn numbers, which count only the free positions."""
    starts = np.searchsorted(rows, np.arange(n_rows))
    before = place - (np.arange(len(rows)) - starts[rows])  # free places before each taken one
    keys = rows * width + before
    passed = np.searchsorted(keys, owner * width + drawn, side="right") - starts[owner]
    return np.asarray(drawn + passed, dtype=np.int64)

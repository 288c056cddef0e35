"""Random numbers that depend on an example's ids, not on its position in a table.

Each number is a hash of the seed and of ids, so a draw does not change if rows are reordered,
added or removed. The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

Hashes = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_MANTISSA_BITS = 53


def hash_ids(ids: pd.Series) -> Hashes:
    """Return a hash per id that is the same on every machine."""
    codes, uniques = pd.factorize(ids)
    hashes = pd.util.hash_array(np.asarray(uniques, dtype=object), categorize=False)
    return np.asarray(hashes, dtype=np.uint64)[codes]


def uniform(seed: int, purpose: str, *hashes: Hashes) -> npt.NDArray[np.float64]:
    """Return numbers in [0, 1) determined by the seed, the purpose and the broadcast hashes.

    >>> milk, tea = hash_ids(pd.Series(["milk", "tea"]))[:, None]
    >>> bool(uniform(1, "cart", milk) == uniform(1, "cart", tea))
    False
    """
    state = _mix(np.atleast_1d(np.uint64(seed)) + hash_ids(pd.Series([purpose])))
    for value in hashes:
        state = _mix(state ^ value)
    return (state >> np.uint64(64 - _MANTISSA_BITS)).astype(np.float64) / 2.0**_MANTISSA_BITS


def _mix(values: Hashes) -> Hashes:
    mixed = values + _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)

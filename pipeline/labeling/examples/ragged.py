"""Ragged lists: one array of values and the start of each list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """`n` lists in one array.

    Attributes:
        splits: [n + 1] start of each list; the last entry is the number of values.
        values: [n_values] concatenated values.
    """

    splits: Longs
    values: npt.NDArray[Any]

    @classmethod
    def from_rows(cls, rows: Longs, values: npt.NDArray[Any], n: int) -> "Ragged":
        """Return `n` lists from values and their list numbers (0..n-1, ascending).

        >>> Ragged.from_rows(np.array([0, 0, 2]), np.array([7, 8, 9]), 3).lists()
        [[7, 8], [], [9]]
        """
        counts = np.bincount(rows, minlength=n)
        return cls(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), values)

    def __len__(self) -> int:
        """Return the number of lists."""
        return len(self.splits) - 1

    def lengths(self) -> Longs:
        """Return the length of each list."""
        return np.diff(self.splits)

    def rows(self) -> Longs:
        """Return [n_values] the list number of each value."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths())

    def where(self, keep: npt.NDArray[np.bool_]) -> "Ragged":
        """Return the lists with only the values marked in `keep`."""
        return Ragged.from_rows(self.rows()[keep], self.values[keep], len(self))

    def take(self, lists: Longs) -> "Ragged":
        """Return the lists with these numbers, in this order; numbers may repeat."""
        lengths = self.lengths()[lists]
        splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        offsets = np.arange(splits[-1]) - np.repeat(splits[:-1], lengths)
        return Ragged(splits, self.values[np.repeat(self.splits[lists], lengths) + offsets])

    def to_arrow(self, names: Sequence[str] | None = None) -> pa.ListArray:
        """Return an Arrow column of lists; with `names`, values are positions in them."""
        values = pa.array(self.values)
        if names is not None:
            values = pa.array(names, type=pa.string()).take(pa.array(self.values, type=pa.int64()))
        return pa.ListArray.from_arrays(pa.array(self.splits, type=pa.int32()), values)

    def lists(self) -> list[list[Any]]:
        """Return plain lists."""
        return [part.tolist() for part in np.split(self.values, self.splits[1:-1])]


def concatenate(parts: Sequence[Ragged]) -> Ragged:
    """Return the concatenated lists of all parts.

    >>> one, none = Ragged(np.array([0, 1]), np.array([7])), Ragged(np.array([0, 0]), np.array([]))
    >>> concatenate([one, none])
    Ragged(splits=array([0, 1, 1]), values=array([7.]))
    """
    lengths = np.concatenate([part.lengths() for part in parts])
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(splits, np.concatenate([part.values for part in parts]))

"""Vocabulary: item ids and their indices in a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

Ints = npt.NDArray[np.int32]

OUT_OF_VOCABULARY = 0


@dataclass(frozen=True)
class Vocabulary:
    """Item ids and their indices. Index 0 stands for every id that is not in `ids`.

    >>> vocabulary = Vocabulary(("milk", "tea"))
    >>> vocabulary.encode(["tea", "caviar", "milk"]).tolist()
    [2, 0, 1]
    >>> vocabulary.decode(vocabulary.encode(["tea", "caviar"]))
    ['tea', '']
    """

    ids: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of indices, the one for unknown ids included."""
        return len(self.ids) + 1

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.ids, start=1)}

    def encode(self, ids: Sequence[str] | pd.Series | pd.Index) -> Ints:
        """Return the index of each id, 0 where it is unknown."""
        positions = self._positions
        return np.array([positions.get(name, OUT_OF_VOCABULARY) for name in ids], dtype=np.int32)

    def encode_column(self, column: pd.Series) -> Ints:
        """Return the same as `encode`, faster for a long column with few distinct ids."""
        codes, names = pd.factorize(column)
        return self.encode(names)[codes] if len(names) else np.zeros(len(column), dtype=np.int32)

    def decode(self, indices: Ints) -> list[str]:
        """Return the id of each index; '' for index 0."""
        return [self.ids[index - 1] if index > 0 else "" for index in indices.tolist()]

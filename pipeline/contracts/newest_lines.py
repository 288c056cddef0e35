"""The purchase lines before a moment: all lines of a user, or the newest of a heavy account.

Planning, training, testing and serving all select histories here. A guest or reseller account may
hold a hundred thousand lines; the cap keeps its requests as cheap as those of the largest
household.
"""

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]


class EarlierLines:
    """Purchase lines sorted by user and item; selects the lines before each of many moments."""

    def __init__(
        self,
        row_splits: Longs,
        *,
        item: npt.NDArray[Any],
        basket: npt.NDArray[Any],
        time: npt.NDArray[Any],
        maximum: int | None,
    ) -> None:
        """Store the columns.

        Args:
            row_splits: [n_users + 1] offset of each user's first line.
            item: [n_lines] item of each line.
            basket: [n_lines] basket number, rising with time within a user.
            time: [n_lines] purchase time, in any unit. For a user with more than `maximum` lines,
                a line counts as no older than the lines of earlier baskets.
            maximum: Number of a user's newest lines that count, by basket, then by item; None for
                all.
        """
        self._row_splits = row_splits
        self._item, self._basket, self._time = item, basket, time
        self._maximum = maximum

    def before(self, rows: Longs, moments: npt.NDArray[Any]) -> tuple[Longs, Longs]:
        """Return the lines strictly before each moment.

        Args:
            rows: [n] user of each request, -1 for a user without lines.
            moments: [n] time of each request, in the unit of `time`.

        Returns:
            [n_pairs] request of each line, ascending, and [n_pairs] the line, ascending within a
            request.
        """
        heavy = np.array([row in self._heavy for row in rows.tolist()], dtype=bool)
        lines, request = self._all_of(np.where(heavy, -1, rows))
        known = self._time[lines] < moments[request]
        lines, request = lines[known], request[known]
        if not heavy.any():
            return request, lines
        capped = np.flatnonzero(heavy)
        newest = [self.newest(int(rows[index]), moments[index]) for index in capped]
        lines = np.concatenate([lines, *newest])
        request = np.concatenate([request, np.repeat(capped, [len(part) for part in newest])])
        order = np.argsort(request, kind="stable")
        return request[order], lines[order]

    def _all_of(self, rows: Longs) -> tuple[Longs, Longs]:
        starts = np.where(rows >= 0, self._row_splits[rows], 0)
        lengths = np.where(rows >= 0, self._row_splits[rows + 1] - starts, 0)
        request = np.repeat(np.arange(len(rows)), lengths)
        offsets = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
        return np.arange(len(request)) + offsets, request

    def newest(self, row: int, moment: Any) -> Longs:
        """Return the newest lines before a moment, ascending, of a user above the maximum."""
        lines, times = self._heavy[row]
        stop = int(np.searchsorted(times, moment, side="left"))
        assert self._maximum is not None
        return np.sort(lines[max(stop - self._maximum, 0) : stop])

    @cached_property
    def _heavy(self) -> dict[int, tuple[Longs, npt.NDArray[Any]]]:
        """Lines from old to new, and their times, of each user with more than `maximum` lines."""
        if self._maximum is None:
            return {}
        heavy = {}
        for row in np.flatnonzero(np.diff(self._row_splits) > self._maximum).tolist():
            start, stop = self._row_splits[row : row + 2].tolist()
            inside = slice(start, stop)
            order = start + np.lexsort((self._item[inside], self._basket[inside]))
            heavy[row] = order, np.maximum.accumulate(self._time[order])
        return heavy

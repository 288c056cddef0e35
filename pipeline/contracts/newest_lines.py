"""Which purchase lines come before a moment: all of a shopper's, of a heavy account's the newest.

Planning, training, testing and serving take their histories from here, so all of them see the same
lines. A guest or reseller account may hold a hundred thousand lines; a request of it then costs no
more than one of the largest household.
"""

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]


class EarlierLines:
    """Lines ordered by user, and of one user by item: finds those before each of many moments."""

    def __init__(
        self,
        row_splits: Longs,
        *,
        item: npt.NDArray[Any],
        basket: npt.NDArray[Any],
        time: npt.NDArray[Any],
        maximum: int | None,
    ) -> None:
        """Keep the columns.

        Args:
            row_splits: [n_users + 1], where each user's lines begin.
            item: [n_lines] what.
            basket: [n_lines] number of the basket, rising with time within a user.
            time: [n_lines] when the line was bought, in any unit; of a user with more than
                `maximum` lines, a line counts as no older than those of the baskets before it.
            maximum: Lines of one user that count, the newest: by basket, then by item. None for
                all.
        """
        self._row_splits = row_splits
        self._item, self._basket, self._time = item, basket, time
        self._maximum = maximum

    def before(self, rows: Longs, moments: npt.NDArray[Any]) -> tuple[Longs, Longs]:
        """Return the lines strictly before each moment.

        Args:
            rows: [n] the user, -1 for one without lines.
            moments: [n] in the unit of `time`.

        Returns:
            [n_found] which of the n each is for, ascending, and [n_found] the line, ascending
            within each.
        """
        heavy = np.array([row in self._heavy for row in rows.tolist()], dtype=bool)
        lines, request = self._all_of(np.where(heavy, -1, rows))
        known = self._time[lines] < moments[request]
        lines, request = lines[known], request[known]
        if not heavy.any():
            return request, lines
        places = np.flatnonzero(heavy)
        newest = [self.newest(int(rows[place]), moments[place]) for place in places]
        lines = np.concatenate([lines, *newest])
        request = np.concatenate([request, np.repeat(places, [len(part) for part in newest])])
        order = np.argsort(request, kind="stable")
        return request[order], lines[order]

    def _all_of(self, rows: Longs) -> tuple[Longs, Longs]:
        starts = np.where(rows >= 0, self._row_splits[rows], 0)
        lengths = np.where(rows >= 0, self._row_splits[rows + 1] - starts, 0)
        request = np.repeat(np.arange(len(rows)), lengths)
        offsets = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
        return np.arange(len(request)) + offsets, request

    def newest(self, row: int, moment: Any) -> Longs:
        """Return the newest lines before a moment, ascending, of a user with too many."""
        lines, times = self._heavy[row]
        stop = int(np.searchsorted(times, moment, side="left"))
        assert self._maximum is not None
        return np.sort(lines[max(stop - self._maximum, 0) : stop])

    @cached_property
    def _heavy(self) -> dict[int, tuple[Longs, npt.NDArray[Any]]]:
        """Per user with more than `maximum` lines: those from old to new, and their times."""
        if self._maximum is None:
            return {}
        found = {}
        for row in np.flatnonzero(np.diff(self._row_splits) > self._maximum).tolist():
            start, stop = self._row_splits[row : row + 2].tolist()
            inside = slice(start, stop)
            order = start + np.lexsort((self._item[inside], self._basket[inside]))
            found[row] = order, np.maximum.accumulate(self._time[order])
        return found

"""The purchases of one user since the bundle's `as_of`, as basket lines, extended event by event.

Baskets are numbered by the time of their first line, whatever the order in which events arrive.
The cost of a late event grows with the number of baskets that started after it; the cost of any
other event is constant.
"""

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.vocabulary import OUT_OF_VOCABULARY
from pipeline.serving.user_state.recent_events import RecentEvent

SPARE_FACTOR = 2  # old lines are dropped at this multiple of maximum_lines


class RecentPurchases:
    """Baskets numbered in time order, one line per item; baskets of unknown items count too."""

    def __init__(self, histories: Histories) -> None:
        """Start empty; `histories` supplies store codes and `maximum_lines`."""
        self._histories = histories
        self._baskets: dict[str, int] = {}
        self._in_time_order: list[int] = []
        self._number, self._started, self._store = array("i"), array("d"), array("i")
        self._lines: dict[tuple[int, int], int] = {}
        self._basket, self._item = array("i"), array("i")
        self._units, self._paid = array("d"), array("d")

    def add(self, purchases: Iterable[RecentEvent]) -> None:
        """Add purchases."""
        for event in purchases:
            basket = self._find_basket(event)
            store = self._histories.store_code(event.store)
            self._store[basket] = max(self._store[basket], store)
            if event.item != OUT_OF_VOCABULARY:
                line = self._find_line(basket, event.item)
                self._units[line] += event.quantity
                self._paid[line] += event.quantity * event.price
        maximum = self._histories.maximum_lines
        if maximum is not None and len(self._item) > SPARE_FACTOR * maximum:
            self._drop_old_lines(maximum)

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the lines in order of arrival.

        Returns:
            Arrays [n_lines]: item, time, basket (number from 0), store, units and paid.
        """
        number, started, store = (
            _view(column)[_view(self._basket)]
            for column in (self._number, self._started, self._store)
        )
        return {
            "item": np.array(self._item),
            "time": started,
            "basket": number,
            "store": store,
            "units": np.array(self._units),
            "paid": np.array(self._paid),
        }

    def _drop_old_lines(self, maximum: int) -> None:
        """Keep the newest `maximum` lines; baskets of dropped lines still count."""
        number, item = _view(self._number)[_view(self._basket)], np.array(self._item)
        newest = np.sort(np.lexsort((item, number))[-maximum:])
        for name in ("_basket", "_item", "_units", "_paid"):
            column = getattr(self, name)
            setattr(self, name, array(column.typecode, np.array(column)[newest].tobytes()))
        pairs = zip(self._basket, self._item, strict=True)
        self._lines = {pair: line for line, pair in enumerate(pairs)}

    def _find_line(self, basket: int, item: int) -> int:
        line = self._lines.setdefault((basket, item), len(self._item))
        if line == len(self._item):
            self._basket.append(basket)
            self._item.append(item)
            self._units.append(0.0)
            self._paid.append(0.0)
        return line

    def _find_basket(self, event: RecentEvent) -> int:
        basket = self._baskets.setdefault(event.basket, len(self._started))
        if basket == len(self._started):
            self._number.append(len(self._in_time_order))
            self._started.append(event.time)
            self._store.append(0)
            self._in_time_order.append(basket)
            self._sort_basket(basket)
        elif event.time < self._started[basket]:
            self._started[basket] = event.time
            self._sort_basket(basket)
        return basket

    def _sort_basket(self, basket: int) -> None:
        """Move a basket before those that started after it."""
        position, order = self._number[basket], self._in_time_order
        while position and self._started[order[position - 1]] > self._started[basket]:
            later = order[position - 1]
            order[position], self._number[later] = later, position
            position -= 1
        order[position], self._number[basket] = basket, position


def _view(column: "array[Any]") -> npt.NDArray[Any]:
    """Return the values without a copy; the column cannot grow while the view exists."""
    return np.frombuffer(column, dtype=column.typecode)

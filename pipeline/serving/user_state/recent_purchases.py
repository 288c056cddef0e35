"""The purchases of one shopper since the bundle's `as_of`, as basket lines that grow by the event.

An event may come late: baskets are numbered by when they began, whatever the order of arrival.
What an event costs does not depend on how many came before it, but for those that it overtakes.
"""

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.vocabulary import OUT_OF_VOCABULARY
from pipeline.serving.user_state.recent_events import RecentEvent

SPARE = 2  # times the lines that count are held before the old ones are let go


class NewPurchases:
    """Baskets numbered in time order, one line per item; a basket of unknown items counts."""

    def __init__(self, histories: Histories) -> None:
        """Begin without any; `histories` know the stores and how many lines count."""
        self._histories = histories
        self._baskets: dict[str, int] = {}
        self._in_time_order: list[int] = []
        self._number, self._began, self._store = array("i"), array("d"), array("i")
        self._lines: dict[tuple[int, int], int] = {}
        self._basket, self._item = array("i"), array("i")
        self._units, self._paid = array("d"), array("d")

    def add(self, purchases: Iterable[RecentEvent]) -> None:
        """Take in purchases."""
        for event in purchases:
            basket = self._basket_of(event)
            store = self._histories.store_code(event.store)
            self._store[basket] = max(self._store[basket], store)
            if event.item != OUT_OF_VOCABULARY:
                line = self._line_of(basket, event.item)
                self._units[line] += event.quantity
                self._paid[line] += event.quantity * event.price
        maximum = self._histories.maximum_lines
        if maximum is not None and len(self._item) > SPARE * maximum:
            self._forget_old_lines(maximum)

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the lines in the order in which they came.

        Returns:
            item, time, basket (number from 0), store, units, paid.
        """
        number, began, store = (
            _view(column)[_view(self._basket)]
            for column in (self._number, self._began, self._store)
        )
        return {
            "item": np.array(self._item),
            "time": began,
            "basket": number,
            "store": store,
            "units": np.array(self._units),
            "paid": np.array(self._paid),
        }

    def _forget_old_lines(self, maximum: int) -> None:
        """Keep the newest lines; their baskets still count."""
        number, item = _view(self._number)[_view(self._basket)], np.array(self._item)
        newest = np.sort(np.lexsort((item, number))[-maximum:])
        for name in ("_basket", "_item", "_units", "_paid"):
            column = getattr(self, name)
            setattr(self, name, array(column.typecode, np.array(column)[newest].tobytes()))
        pairs = zip(self._basket, self._item, strict=True)
        self._lines = {pair: place for place, pair in enumerate(pairs)}

    def _line_of(self, basket: int, item: int) -> int:
        line = self._lines.setdefault((basket, item), len(self._item))
        if line == len(self._item):
            self._basket.append(basket)
            self._item.append(item)
            self._units.append(0.0)
            self._paid.append(0.0)
        return line

    def _basket_of(self, event: RecentEvent) -> int:
        basket = self._baskets.setdefault(event.basket, len(self._began))
        if basket == len(self._began):
            self._number.append(len(self._in_time_order))
            self._began.append(event.time)
            self._store.append(0)
            self._in_time_order.append(basket)
            self._put_in_its_place(basket)
        elif event.time < self._began[basket]:
            self._began[basket] = event.time
            self._put_in_its_place(basket)
        return basket

    def _put_in_its_place(self, basket: int) -> None:
        """Move a basket before those that began after it."""
        place, order = self._number[basket], self._in_time_order
        while place and self._began[order[place - 1]] > self._began[basket]:
            later = order[place - 1]
            order[place], self._number[later] = later, place
            place -= 1
        order[place], self._number[basket] = basket, place


def _view(column: "array[Any]") -> npt.NDArray[Any]:
    """Return the values without a copy; while it lives the column cannot grow."""
    return np.frombuffer(column, dtype=column.typecode)

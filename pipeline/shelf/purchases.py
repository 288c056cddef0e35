"""The purchases of one shopper since the bundle's `as_of`, as basket lines that grow by the event.

An event may come late: baskets are numbered by when they began, whatever the order of arrival.
What an event costs does not depend on how many came before it, but for those that it overtakes.
"""

from array import array
from collections.abc import Iterable

import numpy as np

from pipeline.recommenders.histories import Histories
from pipeline.recommenders.vocabulary import OUT_OF_VOCABULARY
from pipeline.shelf.overlay import Seen


class NewPurchases:
    """Baskets numbered in time order, one line per item; a basket of unknown items counts."""

    def __init__(self, histories: Histories) -> None:
        """Begin without any; `histories` know the codes of the stores."""
        self._histories = histories
        self._baskets: dict[str, int] = {}
        self._in_time_order: list[int] = []
        self._number, self._began, self._store = array("i"), array("d"), array("i")
        self._lines: dict[tuple[int, int], int] = {}
        self._basket, self._item = array("i"), array("i")
        self._units, self._paid = array("d"), array("d")

    def add(self, purchases: Iterable[Seen]) -> None:
        """Take in purchases."""
        for event in purchases:
            basket = self._basket_of(event)
            store = self._histories.store_code(event.store)
            self._store[basket] = max(self._store[basket], store)
            if event.item != OUT_OF_VOCABULARY:
                line = self._line_of(basket, event.item)
                self._units[line] += event.quantity
                self._paid[line] += event.quantity * event.price

    def latest(self, n: int | None) -> dict[str, np.ndarray]:
        """Return the last `n` lines in the order in which they came, None for all: the columns.

        Returns:
            item, time, basket (number from 0), store, units, paid.
        """
        start = max(len(self._item) - n, 0) if n is not None else 0
        columns = (self._basket, self._item, self._units, self._paid)
        basket, item, units, paid = (np.array(column[start:]) for column in columns)
        number, began, store = (
            np.frombuffer(column, dtype=column.typecode)[basket]
            for column in (self._number, self._began, self._store)
        )
        return {
            "item": item,
            "time": began,
            "basket": number,
            "store": store,
            "units": units,
            "paid": paid,
        }

    def _line_of(self, basket: int, item: int) -> int:
        line = self._lines.setdefault((basket, item), len(self._item))
        if line == len(self._item):
            self._basket.append(basket)
            self._item.append(item)
            self._units.append(0.0)
            self._paid.append(0.0)
        return line

    def _basket_of(self, event: Seen) -> int:
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

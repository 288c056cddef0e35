"""A shopper's purchase lines: the bundle's, with those of later events put in."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.event_store.suppression import SuppressionList
from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.vocabulary import Ints
from pipeline.recommenders.base.wall_clock import hours_of_week
from pipeline.serving.user_state.recent_events import Past, RecentEvent
from pipeline.serving.user_state.recent_purchases import SPARE, NewPurchases


@dataclass(frozen=True, slots=True)
class Lines:
    """Purchase lines in the order of `Histories`: by item, then from late to early.

    Attributes:
        item: [n_lines] item index.
        time: [n_lines] seconds since 1970.
        basket: [n_lines] number of the basket, from 0 = the first.
        quantity: [n_lines] units.
        price: [n_lines] unit price paid.
        store: [n_lines] code of the store.
        hour_of_week: [n_lines] on the shop's clock.
    """

    item: Ints
    time: npt.NDArray[np.float64]
    basket: Ints
    quantity: npt.NDArray[np.float32]
    price: npt.NDArray[np.float32]
    store: Ints
    hour_of_week: Ints

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self.item)

    def with_more(self, new: "Lines", maximum: int | None) -> "Lines":
        """Return these lines and `new` ones; of more than `maximum` the newest."""
        pairs = zip(self.columns(), new.columns(), strict=True)
        both = Lines(*(np.concatenate(pair) for pair in pairs))
        if maximum is not None and len(both) > maximum:
            both = both.at(np.lexsort((both.item, both.basket))[-maximum:])
        return both.at(np.lexsort((-both.basket, both.item)))

    def at(self, places: npt.NDArray[np.intp]) -> "Lines":
        """Return the lines at these places."""
        return Lines(*(values[places] for values in self.columns()))

    def columns(self) -> list[npt.NDArray[Any]]:
        """Return the arrays in the order of the attributes."""
        return [getattr(self, name) for name in self.__slots__]


class Merged:
    """The lines of one shopper who bought something since `as_of`; grows by what is new."""

    def __init__(self, known: Lines, histories: Histories, timezone: str) -> None:
        """Begin with the bundle's lines.

        Args:
            known: Of the shopper.
            histories: All purchases before the bundle's `as_of`.
            timezone: The shop's.
        """
        self._known = known
        self._timezone = timezone
        self._maximum = histories.maximum_lines
        self._most = None if self._maximum is None else SPARE * self._maximum
        self._purchases = NewPurchases(histories)
        self._arrived: list[RecentEvent] = []
        self._n_arrived = 0
        self.lines = known

    def read(self, past: Past) -> None:
        """Take in what `past` holds, all of it at once; of very much the latest purchases."""
        self._arrived, self._n_arrived = past.timeline.arrived, past.timeline.length
        self._take(past.purchases(self._most))

    def follow(self, past: Past) -> bool:
        """Take in what is new; return False when that must be read from the beginning."""
        arrived, length = past.timeline.arrived, past.timeline.length
        n_new = length - self._n_arrived
        if arrived is not self._arrived or n_new < 0 or n_new > (self._most or length):
            return False
        new = [event for event in arrived[self._n_arrived : length] if event.kind == "purchase"]
        self._n_arrived = length
        if new:
            self._take(new)
        return True

    def _take(self, purchases: list[RecentEvent]) -> None:
        self._purchases.add(purchases)
        found = self._purchases.columns()
        first = int(self._known.basket.max()) + 1 if len(self._known) else 0
        new = Lines(
            item=found["item"],
            time=found["time"],
            basket=found["basket"] + np.int32(first),
            quantity=found["units"].astype(np.float32),
            price=(found["paid"] / np.maximum(found["units"], 1e-9)).astype(np.float32),
            store=found["store"],
            hour_of_week=hours_of_week(found["time"], self._timezone),
        )
        self.lines = self._known.with_more(new, self._maximum)


class UserLines:
    """The lines of each shopper; what does not change between requests is worked out once."""

    def __init__(self, histories: Histories, timezone: str) -> None:
        """Take the bundle's purchases.

        Args:
            histories: All purchases before the bundle's `as_of`.
            timezone: The shop's.
        """
        self._histories = histories
        self._timezone = timezone
        self._hour_of_week = histories.hour_of_week(timezone)
        self._merged: dict[str, Merged] = {}
        self._lock = threading.Lock()

    def of(self, user_id: str, past: Past, moment: float) -> Lines:
        """Return a shopper's purchase lines strictly before `moment`.

        Args:
            user_id: Who; an unknown one has no lines.
            past: What they did since the bundle's `as_of` and before `moment`.
            moment: Seconds since 1970.
        """
        if not past.has_purchases():
            return self._known(user_id, moment)
        if not past.is_all:
            return self._read(user_id, past).lines
        with self._lock:
            merged = self._merged.get(user_id)
            if merged is None or not merged.follow(past):
                merged = self._merged[user_id] = self._read(user_id, past)
            return merged.lines

    def drop(self, forgotten: SuppressionList) -> None:
        """Lose what was worked out of the events of some people."""
        with self._lock:
            for user_id in forgotten.of(list(self._merged)):
                self._merged.pop(user_id, None)

    def _read(self, user_id: str, past: Past) -> Merged:
        merged = Merged(self._known(user_id, np.inf), self._histories, self._timezone)
        merged.read(past)
        return merged

    def _known(self, user_id: str, moment: float) -> Lines:
        histories, at = self._histories, self._histories.lines_before(user_id, moment)
        return Lines(
            histories.item[at],
            histories.time[at],
            histories.basket[at],
            histories.quantity[at],
            histories.price[at],
            histories.store[at],
            self._hour_of_week[at],
        )

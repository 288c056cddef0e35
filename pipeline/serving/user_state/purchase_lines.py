"""A user's purchase lines: the bundle's lines merged with those of later events."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.event_store.suppression import SuppressionList
from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.vocabulary import Ints
from pipeline.recommenders.base.wall_clock import hours_of_week
from pipeline.serving.user_state.recent_events import PastEvents, RecentEvent
from pipeline.serving.user_state.recent_purchases import SPARE_FACTOR, RecentPurchases


@dataclass(frozen=True, slots=True)
class PurchaseLines:
    """Purchase lines in the order of `Histories`: by item, then from late to early.

    Attributes:
        item: [n_lines] item index.
        time: [n_lines] seconds since 1970.
        basket: [n_lines] number of the basket, from 0 in time order.
        quantity: [n_lines] units.
        price: [n_lines] unit price paid.
        store: [n_lines] store code.
        hour_of_week: [n_lines] 0..167, in the shop's time zone.
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

    def merge(self, new: "PurchaseLines", maximum: int | None) -> "PurchaseLines":
        """Return these lines and `new`, at most the newest `maximum` lines."""
        pairs = zip(self.columns(), new.columns(), strict=True)
        both = PurchaseLines(*(np.concatenate(pair) for pair in pairs))
        if maximum is not None and len(both) > maximum:
            both = both.take(np.lexsort((both.item, both.basket))[-maximum:])
        return both.take(np.lexsort((-both.basket, both.item)))

    def take(self, indices: npt.NDArray[np.intp]) -> "PurchaseLines":
        """Return the lines at these indices."""
        return PurchaseLines(*(values[indices] for values in self.columns()))

    def columns(self) -> list[npt.NDArray[Any]]:
        """Return the arrays in the order of the attributes."""
        return [getattr(self, name) for name in self.__slots__]


class MergedLines:
    """The lines of one user who bought something since `as_of`; extended by new events."""

    def __init__(self, bundle_lines: PurchaseLines, histories: Histories, timezone: str) -> None:
        """Start with the bundle's lines.

        Args:
            bundle_lines: The user's lines before `as_of`.
            histories: All purchases before the bundle's `as_of`.
            timezone: Time zone of the shop.
        """
        self._bundle_lines = bundle_lines
        self._timezone = timezone
        self._maximum = histories.maximum_lines
        self._most = None if self._maximum is None else SPARE_FACTOR * self._maximum
        self._purchases = RecentPurchases(histories)
        self._arrived: list[RecentEvent] = []
        self._n_arrived = 0
        self.lines = bundle_lines

    def read(self, events: PastEvents) -> None:
        """Add all purchases of `events`, at most the latest SPARE_FACTOR * maximum_lines."""
        self._arrived, self._n_arrived = events.timeline.arrived, events.timeline.length
        self._add(events.purchases(self._most))

    def try_extend(self, events: PastEvents) -> bool:
        """Add what is new in `events`; return False if the lines must be read from scratch."""
        arrived, length = events.timeline.arrived, events.timeline.length
        n_new = length - self._n_arrived
        if arrived is not self._arrived or n_new < 0 or n_new > (self._most or length):
            return False
        new = [event for event in arrived[self._n_arrived : length] if event.kind == "purchase"]
        self._n_arrived = length
        if new:
            self._add(new)
        return True

    def _add(self, purchases: list[RecentEvent]) -> None:
        self._purchases.add(purchases)
        columns = self._purchases.columns()
        first = int(self._bundle_lines.basket.max()) + 1 if len(self._bundle_lines) else 0
        new = PurchaseLines(
            item=columns["item"],
            time=columns["time"],
            basket=columns["basket"] + np.int32(first),
            quantity=columns["units"].astype(np.float32),
            price=(columns["paid"] / np.maximum(columns["units"], 1e-9)).astype(np.float32),
            store=columns["store"],
            hour_of_week=hours_of_week(columns["time"], self._timezone),
        )
        self.lines = self._bundle_lines.merge(new, self._maximum)


class UserLines:
    """The purchase lines of each user; merged lines are reused between requests."""

    def __init__(self, histories: Histories, timezone: str) -> None:
        """Take the bundle's purchases.

        Args:
            histories: All purchases before the bundle's `as_of`.
            timezone: Time zone of the shop.
        """
        self._histories = histories
        self._timezone = timezone
        self._hour_of_week = histories.hour_of_week(timezone)
        self._merged: dict[str, MergedLines] = {}
        self._lock = threading.Lock()

    def before(self, user_id: str, events: PastEvents, moment: float) -> PurchaseLines:
        """Return a user's purchase lines strictly before `moment`.

        Args:
            user_id: Id of the user; an unknown user has no lines.
            events: The user's events since the bundle's `as_of` and before `moment`.
            moment: Seconds since 1970.
        """
        if not events.has_purchases():
            return self._read_bundle(user_id, moment)
        if not events.is_all:
            return self._merge(user_id, events).lines
        with self._lock:
            merged = self._merged.get(user_id)
            if merged is None or not merged.try_extend(events):
                merged = self._merged[user_id] = self._merge(user_id, events)
            return merged.lines

    def drop(self, suppressed: SuppressionList) -> None:
        """Remove the merged lines of suppressed users."""
        with self._lock:
            for user_id in suppressed.of(list(self._merged)):
                self._merged.pop(user_id, None)

    def _merge(self, user_id: str, events: PastEvents) -> MergedLines:
        bundle_lines = self._read_bundle(user_id, np.inf)
        merged = MergedLines(bundle_lines, self._histories, self._timezone)
        merged.read(events)
        return merged

    def _read_bundle(self, user_id: str, moment: float) -> PurchaseLines:
        histories, rows = self._histories, self._histories.lines_before(user_id, moment)
        return PurchaseLines(
            histories.item[rows],
            histories.time[rows],
            histories.basket[rows],
            histories.quantity[rows],
            histories.price[rows],
            histories.store[rows],
            self._hour_of_week[rows],
        )

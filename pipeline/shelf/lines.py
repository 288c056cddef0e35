"""A shopper's purchase lines: the bundle's, with those of later events put in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.event_store.suppression import SuppressionList
from pipeline.recommenders.histories import Histories
from pipeline.recommenders.vocabulary import OUT_OF_VOCABULARY, Ints
from pipeline.recommenders.wall_clock import hours_of_week
from pipeline.shelf.overlay import Seen


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

    def before(self, moment: float) -> "Lines":
        """Return the lines strictly before `moment`."""
        known = self.time < moment
        return self if known.all() else Lines(*(values[known] for values in self.columns()))

    def with_more(self, new: "Lines") -> "Lines":
        """Return these lines and later ones; one item's go where its run begins."""
        places = np.searchsorted(self.item, new.item, side="left")
        pairs = zip(self.columns(), new.columns(), strict=True)
        return Lines(*(np.insert(old, places, values) for old, values in pairs))

    def columns(self) -> list[npt.NDArray[Any]]:
        """Return the arrays in the order of the attributes."""
        return [getattr(self, name) for name in self.__slots__]


class ShopperLines:
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
        self._merged: dict[str, tuple[tuple[Seen, ...], Lines]] = {}

    def of(self, user_id: str, events: tuple[Seen, ...], moment: float) -> Lines:
        """Return a shopper's purchase lines strictly before `moment`.

        Args:
            user_id: Who; an unknown one has no lines.
            events: What they did since the bundle's `as_of` and before `moment`, in time order.
            moment: Seconds since 1970.
        """
        if not any(event.kind == "purchase" for event in events):
            return self._known(user_id).before(moment)
        merged = self._merged.get(user_id)
        if merged is None or merged[0] != events:
            merged = (events, self._merge(user_id, events))
            self._merged[user_id] = merged
        return merged[1]

    def drop(self, forgotten: SuppressionList) -> None:
        """Lose what was worked out of the events of some people."""
        for user_id in forgotten.of(list(self._merged)):
            self._merged.pop(user_id, None)

    def _known(self, user_id: str) -> Lines:
        histories, at = self._histories, self._histories.lines(user_id)
        return Lines(
            histories.item[at],
            histories.time[at],
            histories.basket[at],
            histories.quantity[at],
            histories.price[at],
            histories.store[at],
            self._hour_of_week[at],
        )

    def _merge(self, user_id: str, events: Sequence[Seen]) -> Lines:
        lines = self._known(user_id)
        first = int(lines.basket.max()) + 1 if len(lines) else 0
        new = _bought(
            events, first_basket=first, histories=self._histories, timezone=self._timezone
        )
        return lines.with_more(new) if len(new) else lines


def _bought(
    events: Sequence[Seen], *, first_basket: int, histories: Histories, timezone: str
) -> Lines:
    """Return the purchases as lines: baskets numbered in time order, one line per item of each.

    Purchases without a basket count as one basket per moment. A basket of unknown items counts.
    """
    number: dict[str | float, int] = {}
    began: list[float] = []
    stores: list[int] = []
    totals: dict[tuple[int, int], list[float]] = {}
    for event in events:
        if event.kind != "purchase":
            continue
        key = event.time if event.basket is None else event.basket
        basket = number.setdefault(key, len(number))
        if basket == len(began):
            began.append(event.time)
            stores.append(0)
        stores[basket] = max(stores[basket], histories.store_code(event.store))
        if event.item != OUT_OF_VOCABULARY:
            total = totals.setdefault((event.item, -basket), [0.0, 0.0])
            total[0] += event.quantity
            total[1] += event.quantity * event.price
    ordered = sorted(totals)
    basket_of = np.array([-basket for _, basket in ordered], dtype=np.int32)
    units = np.array([totals[key][0] for key in ordered])
    paid = np.array([totals[key][1] for key in ordered])
    time = np.array(began)[basket_of] if ordered else np.zeros(0)
    return Lines(
        item=np.array([item for item, _ in ordered], dtype=np.int32),
        time=time,
        basket=basket_of + np.int32(first_basket),
        quantity=units.astype(np.float32),
        price=(paid / np.maximum(units, 1e-9)).astype(np.float32),
        store=np.array(stores, dtype=np.int32)[basket_of],
        hour_of_week=hours_of_week(time, timezone),
    )

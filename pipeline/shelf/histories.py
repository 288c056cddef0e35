"""One shopper's request, from the bundle's histories and what came in since.

The bundle knows all before its `as_of`. What happened later is kept in memory per shopper, loaded
from the event store at start-up and extended with every acknowledged event. A request is the
bundle's slice with the later lines put in: the same numbers that `build_requests` yields from
histories of all events, without building those.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.event_store.store import StoredEvent
from pipeline.event_store.suppression import SuppressionList
from pipeline.recommenders.histories import Histories
from pipeline.recommenders.requests import Requests
from pipeline.recommenders.vocabulary import OUT_OF_VOCABULARY, Ints, Vocabulary
from pipeline.recommenders.wall_clock import DAY, hours_of_week

HOUR = 3_600.0
MINUTE = 60.0
MAXIMUM_VIEWED = 50
TICK = 1e-6


@dataclass(frozen=True, slots=True)
class Seen:
    """What the model may use of one event."""

    time: float
    item: int
    kind: str
    quantity: float
    price: float
    basket: str | None
    store: str | None


@dataclass(frozen=True, slots=True)
class Lines:
    """Purchase lines in the order of `Histories`: by item, then from late to early."""

    item: Ints
    time: npt.NDArray[np.float64]
    basket: Ints
    quantity: npt.NDArray[np.float32]
    price: npt.NDArray[np.float32]
    store: Ints

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self.item)


@dataclass
class Overlay:
    """What each shopper did since `since`, in time order.

    A list of a shopper is replaced, never changed, so that a reader in another thread sees one
    state or the next.
    """

    vocabulary: Vocabulary
    since: float
    _events: dict[str, tuple[Seen, ...]] = field(default_factory=dict)

    def extend(self, events: Iterable[StoredEvent]) -> None:
        """Take in acknowledged events; those before `since` are the bundle's and are left out."""
        grouped: dict[str, list[StoredEvent]] = defaultdict(list)
        for event in events:
            if event.timestamp.timestamp() >= self.since:
                grouped[event.user_id].append(event)
        for user_id, new in grouped.items():
            items = self.vocabulary.encode([event.item_id for event in new]).tolist()
            seen = [_seen(event, item) for event, item in zip(new, items, strict=True)]
            known = (*self._events.get(user_id, ()), *seen)
            self._events[user_id] = tuple(sorted(known, key=lambda each: each.time))

    def drop(self, forgotten: SuppressionList) -> None:
        """Lose all memory of some people."""
        for user_id in forgotten.of(list(self._events)):
            self._events.pop(user_id, None)

    def before(self, user_id: str, moment: float) -> tuple[Seen, ...]:
        """Return what a shopper did strictly before `moment`, in time order."""
        events = self._events.get(user_id, ())
        return events[: bisect_left(events, moment, key=lambda each: each.time)]

    def latest(self, user_id: str) -> float:
        """Return the time of a shopper's last event, -inf without one."""
        events = self._events.get(user_id)
        return events[-1].time if events else -np.inf

    def __len__(self) -> int:
        """Return the number of events."""
        return sum(len(events) for events in self._events.values())


def _seen(event: StoredEvent, item: int) -> Seen:
    return Seen(
        time=event.timestamp.timestamp(),
        item=item,
        kind=event.event_type,
        quantity=event.quantity,
        price=event.price,
        basket=event.basket_id,
        store=event.store_id,
    )


class RequestBuilder:
    """Builds one request in well under a millisecond."""

    def __init__(
        self,
        histories: Histories,
        attributes: pd.DataFrame,
        overlay: Overlay,
        *,
        timezone: str,
        cart_hours: float,
        viewed_minutes: float,
    ) -> None:
        """Prepare what does not change between requests.

        Args:
            histories: All purchases before the bundle's `as_of`.
            attributes: Indexed by user_id, integer codes.
            overlay: What came in since.
            timezone: The shop's.
            cart_hours: How long an item stays in the cart without being bought.
            viewed_minutes: How long a look at an item counts as just now.
        """
        self._histories = histories
        self._overlay = overlay
        self._zone = ZoneInfo(timezone)
        self._timezone = timezone
        self._cart_seconds = cart_hours * HOUR
        self._viewed_seconds = viewed_minutes * MINUTE
        self._codes = attributes.to_numpy(dtype=np.int32)
        self._rows = {str(name): row for row, name in enumerate(attributes.index)}
        self._unknown = np.zeros((1, self._codes.shape[1]), dtype=np.int32)

    def moment(self, user_id: str, now: float) -> float:
        """Return `now`, or just after the shopper's last event if a clock was ahead of ours."""
        return max(now, self._overlay.latest(user_id) + TICK)

    def is_known(self, user_id: str) -> bool:
        """Tell whether the shopper ever bought anything, or did anything since `as_of`."""
        return self._histories.row(user_id) >= 0 or self._overlay.latest(user_id) > -np.inf

    def build(
        self,
        user_id: str,
        moment: float,
        *,
        cart: Sequence[int] = (),
        viewed: Sequence[int] = (),
        store_id: str | None = None,
    ) -> Requests:
        """Return the request of one shopper; only what is strictly before `moment` is in it.

        Args:
            user_id: Who; unknown ones get a request without lines.
            moment: Seconds since 1970.
            cart: Item indices, before those that cart events tell.
            viewed: Item indices, before those that view events tell.
            store_id: Where the shopper shops.
        """
        events = self._overlay.before(user_id, moment)
        lines = with_later(_slice(self._histories, user_id, moment), events, self._histories)
        latest = int(lines.basket.max()) if len(lines) else 0
        in_cart = _unique([*cart, *_cart(events, moment - self._cart_seconds)])
        looked_at = _unique([*viewed, *_viewed(events, moment - self._viewed_seconds)])
        local = datetime.fromtimestamp(moment, tz=UTC).astimezone(self._zone)
        row = self._rows.get(user_id)
        return Requests(
            row_splits=np.array([0, len(lines)]),
            item=lines.item,
            age_days=((moment - lines.time) / DAY).astype(np.float32),
            baskets_ago=(latest - lines.basket).astype(np.int32),
            quantity=lines.quantity,
            price=lines.price,
            store=lines.store,
            hour_of_week=hours_of_week(lines.time, self._timezone),
            cart_splits=np.array([0, len(in_cart)]),
            cart_item=in_cart,
            viewed_splits=np.array([0, len(looked_at)]),
            viewed_item=looked_at,
            time=np.array([moment]),
            time_known=np.ones(1, dtype=np.int32),
            at_store=np.array([self._histories.store_code(store_id)], dtype=np.int32),
            local_weekday=np.array([local.weekday()], dtype=np.int32),
            local_hour=np.array([local.hour], dtype=np.int32),
            user_attributes=self._unknown if row is None else self._codes[row : row + 1],
        )


def _slice(histories: Histories, user_id: str, moment: float) -> Lines:
    at = histories.lines(user_id)
    lines = Lines(
        histories.item[at],
        histories.time[at],
        histories.basket[at],
        histories.quantity[at],
        histories.price[at],
        histories.store[at],
    )
    before = lines.time < moment
    if before.all():
        return lines
    return Lines(
        lines.item[before],
        lines.time[before],
        lines.basket[before],
        lines.quantity[before],
        lines.price[before],
        lines.store[before],
    )


def with_later(lines: Lines, events: Sequence[Seen], histories: Histories) -> Lines:
    """Return `lines` with the purchases among `events`, all of which are later.

    One item's lines are ordered from late to early, so the new ones go where its run begins.
    """
    first = int(lines.basket.max()) + 1 if len(lines) else 0
    new = _bought(events, first_basket=first, histories=histories)
    if not len(new):
        return lines
    places = np.searchsorted(lines.item, new.item, side="left")
    return Lines(
        np.insert(lines.item, places, new.item),
        np.insert(lines.time, places, new.time),
        np.insert(lines.basket, places, new.basket),
        np.insert(lines.quantity, places, new.quantity),
        np.insert(lines.price, places, new.price),
        np.insert(lines.store, places, new.store),
    )


def _bought(events: Sequence[Seen], *, first_basket: int, histories: Histories) -> Lines:
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
    return Lines(
        item=np.array([item for item, _ in ordered], dtype=np.int32),
        time=np.array(began)[basket_of] if ordered else np.zeros(0),
        basket=basket_of + np.int32(first_basket),
        quantity=units.astype(np.float32),
        price=(paid / np.maximum(units, 1e-9)).astype(np.float32),
        store=np.array(stores, dtype=np.int32)[basket_of],
    )


def _cart(events: Sequence[Seen], since: float) -> list[int]:
    """Return what lies in the cart: put in since then, and neither bought nor taken out after."""
    cart: dict[int, None] = {}
    for event in events:
        if event.kind == "cart" and event.quantity > 0 and event.time >= since:
            cart[event.item] = None
        elif event.kind in {"cart", "purchase"}:
            cart.pop(event.item, None)
    return list(cart)


def _viewed(events: Sequence[Seen], since: float) -> list[int]:
    """Return what was looked at since then, the last first."""
    views = [event.item for event in events if event.kind == "view" and event.time >= since]
    return _known(views[::-1])[:MAXIMUM_VIEWED]


def _unique(items: Sequence[int]) -> Ints:
    return np.array(_known(items), dtype=np.int32)


def _known(items: Sequence[int]) -> list[int]:
    return [item for item in dict.fromkeys(items) if item != OUT_OF_VOCABULARY]

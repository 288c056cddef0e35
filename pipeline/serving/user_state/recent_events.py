"""What shoppers did since the bundle's `as_of`, in memory; every acknowledged event goes in.

What an event or a request costs does not grow with all that a shopper did: an event is put behind
the others, a request looks from the end, and of the cart and the looks at most RECENT_EVENTS.
"""

import threading
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

import numpy as np

from pipeline.contracts.baskets import basket_of
from pipeline.event_store.store import EventStore, StoredEvent
from pipeline.event_store.suppression import SuppressionList
from pipeline.recommenders.base.vocabulary import OUT_OF_VOCABULARY, Vocabulary

MAXIMUM_VIEWED = 50
RECENT_EVENTS = 2_000  # read for the cart and the looks: nobody does more within a day


@dataclass(frozen=True, slots=True)
class RecentEvent:
    """What the model may use of one event, and the id by which it counts once."""

    event_id: str
    time: float
    item: int
    kind: str
    quantity: float
    price: float
    basket: str
    store: str | None


@dataclass(frozen=True, eq=False, slots=True)
class Timeline:
    """The first `length` events of one shopper; the lists only ever grow at their end.

    Attributes:
        arrived: In the order in which they came.
        ordered: The same events in time order.
        length: How many of each this timeline holds; what lies behind came later.
        n_purchases: How many of them are purchases.
    """

    arrived: list[RecentEvent]
    ordered: list[RecentEvent]
    length: int
    n_purchases: int

    def extended(self, new: Sequence[RecentEvent]) -> "Timeline":
        """Return a timeline with `new` events; this one stays what it is."""
        self.arrived.extend(new)
        ordered = self.ordered
        late = bool(ordered) and min(event.time for event in new) < ordered[-1].time
        if late:
            ordered = ordered.copy()
            for event in new:
                insort(ordered, event, key=lambda other: other.time)
        else:
            ordered.extend(sorted(new, key=lambda event: event.time))
        bought = sum(event.kind == "purchase" for event in new)
        return Timeline(self.arrived, ordered, self.length + len(new), self.n_purchases + bought)


NOTHING = Timeline([], [], 0, 0)


@dataclass(frozen=True, slots=True)
class Past:
    """What one shopper did strictly before a moment: the first `length` of a timeline.

    Two are equal when nothing came in between; that is seen without looking at the events.
    """

    timeline: Timeline = NOTHING
    length: int = 0

    def __len__(self) -> int:
        """Return the number of events."""
        return self.length

    @property
    def is_all(self) -> bool:
        """Whether nothing of the timeline is later."""
        return self.length == self.timeline.length

    def has_purchases(self) -> bool:
        """Tell whether one of them is a purchase."""
        if self.is_all or not self.timeline.n_purchases:
            return self.timeline.n_purchases > 0
        return any(event.kind == "purchase" for event in self)

    def purchases(self, maximum: int | None) -> list[RecentEvent]:
        """Return the purchases in time order; of more than `maximum` the last."""
        ordered = self.timeline.ordered
        backwards = (ordered[place] for place in range(self.length - 1, -1, -1))
        bought = (event for event in backwards if event.kind == "purchase")
        return list(islice(bought, maximum))[::-1]

    def __iter__(self) -> Iterator[RecentEvent]:
        """Yield them in time order."""
        return islice(self.timeline.ordered, self.length)

    def since(self, moment: float) -> Sequence[RecentEvent]:
        """Return those at `moment` or later, in time order; of very many the last."""
        ordered, stop = self.timeline.ordered, self.length
        start = bisect_left(ordered, moment, 0, stop, key=lambda event: event.time)
        return ordered[max(start, stop - RECENT_EVENTS) : stop]


@dataclass
class RecentEvents:
    """What each shopper did since `since`, in time order.

    A timeline of a shopper is replaced, never changed, so that a reader in another thread sees one
    state or the next. Several threads may take events in.
    """

    vocabulary: Vocabulary
    since: float
    zone: ZoneInfo
    _timelines: dict[str, Timeline] = field(default_factory=dict)
    _ids: dict[str, set[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def extend(self, events: Iterable[StoredEvent]) -> None:
        """Take in acknowledged events, each once, however often it comes.

        Those before `since` are the bundle's and are left out.
        """
        grouped: dict[str, list[StoredEvent]] = defaultdict(list)
        for event in events:
            if event.timestamp.timestamp() >= self.since:
                grouped[event.user_id].append(event)
        for user_id, new in grouped.items():
            items = self.vocabulary.encode([event.item_id for event in new]).tolist()
            seen = [_seen(event, item, self.zone) for event, item in zip(new, items, strict=True)]
            with self._lock:
                self._put(user_id, seen)

    def _put(self, user_id: str, seen: Iterable[RecentEvent]) -> None:
        ids = self._ids.setdefault(user_id, set())
        new = {event.event_id: event for event in seen if event.event_id not in ids}
        if new:
            ids.update(new)
            before = self._timelines.get(user_id) or Timeline([], [], 0, 0)
            self._timelines[user_id] = before.extended(list(new.values()))

    def drop(self, forgotten: SuppressionList) -> None:
        """Lose all memory of some people."""
        with self._lock:
            for user_id in forgotten.of(list(self._timelines)):
                self._timelines.pop(user_id, None)
                self._ids.pop(user_id, None)

    def before(self, user_id: str, moment: float) -> Past:
        """Return what a shopper did strictly before `moment`."""
        timeline = self._timelines.get(user_id)
        if timeline is None:
            return Past()
        ordered, length = timeline.ordered, timeline.length
        return Past(timeline, bisect_left(ordered, moment, 0, length, key=lambda event: event.time))

    def latest(self, user_id: str) -> float:
        """Return the time of a shopper's last event, -inf without one."""
        timeline = self._timelines.get(user_id)
        return timeline.ordered[timeline.length - 1].time if timeline else -np.inf

    def user_ids(self) -> tuple[str, ...]:
        """Return the shoppers who did something since."""
        with self._lock:
            return tuple(self._timelines)

    def __len__(self) -> int:
        """Return the number of events."""
        return sum(timeline.length for timeline in self._timelines.values())


def read_recent_events(
    store: EventStore, vocabulary: Vocabulary, as_of: datetime, zone: ZoneInfo
) -> RecentEvents:
    """Return what the store knows since `as_of`; `zone` is the shop's.

    Raises:
        StoreError: The store cannot be read.
    """
    overlay = RecentEvents(vocabulary, since=as_of.timestamp(), zone=zone)
    overlay.extend(store.events_since(as_of))
    return overlay


def _seen(event: StoredEvent, item: int, zone: ZoneInfo) -> RecentEvent:
    return RecentEvent(
        event_id=event.event_id,
        time=event.timestamp.timestamp(),
        item=item,
        kind=event.event_type,
        quantity=event.quantity,
        price=event.price,
        basket=basket_of(event.basket_id, event.session_id, event.timestamp, zone),
        store=event.store_id,
    )


def cart_of(past: Past, since: float) -> list[int]:
    """Return what lies in the cart: put in since then, and neither bought nor taken out after."""
    cart: dict[int, None] = {}
    for event in past.since(since):
        if event.kind == "cart" and event.quantity > 0:
            cart[event.item] = None
        elif event.kind in {"cart", "purchase"}:
            cart.pop(event.item, None)
    return list(cart)


def viewed_of(past: Past, since: float) -> list[int]:
    """Return what was looked at since then, the last first."""
    views = [event.item for event in past.since(since) if event.kind == "view"]
    return list(known(views[::-1])[:MAXIMUM_VIEWED])


def known(items: Sequence[int]) -> tuple[int, ...]:
    """Return the known items, each once, in their order."""
    return tuple(item for item in dict.fromkeys(items) if item != OUT_OF_VOCABULARY)

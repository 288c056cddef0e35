"""Events since the bundle's `as_of`, in memory.

The cost of an event or a request does not grow with the user's history: events are appended, and
a request reads from the end, at most RECENT_EVENTS events for the cart and the viewed items.
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
RECENT_EVENTS = 2_000  # more than any user has within a day


@dataclass(frozen=True, slots=True)
class RecentEvent:
    """The fields of an event that the model uses, and its id for deduplication."""

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
    """The first `length` events of one user; later timelines append to the same lists.

    Attributes:
        arrived: Events in order of arrival.
        ordered: The same events in time order.
        length: Number of events of this timeline; the lists may hold later ones.
        n_purchases: Number of purchases among them.
    """

    arrived: list[RecentEvent]
    ordered: list[RecentEvent]
    length: int
    n_purchases: int

    def extend(self, new: Sequence[RecentEvent]) -> "Timeline":
        """Return a timeline with `new` events added; this one does not change."""
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


EMPTY_TIMELINE = Timeline([], [], 0, 0)


@dataclass(frozen=True, slots=True)
class PastEvents:
    """The events of one user strictly before a moment: the first `length` of a timeline.

    Two are equal if no event arrived in between; the comparison does not read the events.
    """

    timeline: Timeline = EMPTY_TIMELINE
    length: int = 0

    def __len__(self) -> int:
        """Return the number of events."""
        return self.length

    @property
    def is_all(self) -> bool:
        """Whether the timeline has no later event."""
        return self.length == self.timeline.length

    def has_purchases(self) -> bool:
        """Return whether one of the events is a purchase."""
        if self.is_all or not self.timeline.n_purchases:
            return self.timeline.n_purchases > 0
        return any(event.kind == "purchase" for event in self)

    def purchases(self, maximum: int | None) -> list[RecentEvent]:
        """Return the purchases in time order, at most the last `maximum`."""
        ordered = self.timeline.ordered
        backwards = (ordered[index] for index in range(self.length - 1, -1, -1))
        bought = (event for event in backwards if event.kind == "purchase")
        return list(islice(bought, maximum))[::-1]

    def __iter__(self) -> Iterator[RecentEvent]:
        """Yield the events in time order."""
        return islice(self.timeline.ordered, self.length)

    def since(self, moment: float) -> Sequence[RecentEvent]:
        """Return the events at or after `moment` in time order, at most the last RECENT_EVENTS."""
        ordered, stop = self.timeline.ordered, self.length
        start = bisect_left(ordered, moment, 0, stop, key=lambda event: event.time)
        return ordered[max(start, stop - RECENT_EVENTS) : stop]


@dataclass
class RecentEvents:
    """The events of each user since `since`, in time order.

    A user's timeline is replaced, never changed, so that a reader in another thread sees a
    consistent state. Several threads may add events.

    Attributes:
        vocabulary: Item ids and indices.
        since: Seconds since 1970; earlier events are ignored.
        zone: Time zone of the shop.
    """

    vocabulary: Vocabulary
    since: float
    zone: ZoneInfo
    _timelines: dict[str, Timeline] = field(default_factory=dict)
    _ids: dict[str, set[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def extend(self, events: Iterable[StoredEvent]) -> None:
        """Add stored events; duplicates and events before `since` are ignored."""
        grouped: dict[str, list[StoredEvent]] = defaultdict(list)
        for event in events:
            if event.timestamp.timestamp() >= self.since:
                grouped[event.user_id].append(event)
        for user_id, new in grouped.items():
            items = self.vocabulary.encode([event.item_id for event in new]).tolist()
            recent = [
                _build_recent_event(event, item, self.zone)
                for event, item in zip(new, items, strict=True)
            ]
            with self._lock:
                self._add(user_id, recent)

    def _add(self, user_id: str, events: Iterable[RecentEvent]) -> None:
        ids = self._ids.setdefault(user_id, set())
        new = {event.event_id: event for event in events if event.event_id not in ids}
        if new:
            ids.update(new)
            before = self._timelines.get(user_id) or Timeline([], [], 0, 0)
            self._timelines[user_id] = before.extend(list(new.values()))

    def drop(self, suppressed: SuppressionList) -> None:
        """Remove the events of suppressed users."""
        with self._lock:
            for user_id in suppressed.of(list(self._timelines)):
                self._timelines.pop(user_id, None)
                self._ids.pop(user_id, None)

    def before(self, user_id: str, moment: float) -> PastEvents:
        """Return a user's events strictly before `moment`."""
        timeline = self._timelines.get(user_id)
        if timeline is None:
            return PastEvents()
        ordered, length = timeline.ordered, timeline.length
        return PastEvents(
            timeline, bisect_left(ordered, moment, 0, length, key=lambda event: event.time)
        )

    def latest(self, user_id: str) -> float:
        """Return the time of a user's last event, -inf without events."""
        timeline = self._timelines.get(user_id)
        return timeline.ordered[timeline.length - 1].time if timeline else -np.inf

    def user_ids(self) -> tuple[str, ...]:
        """Return the users with events."""
        with self._lock:
            return tuple(self._timelines)

    def __len__(self) -> int:
        """Return the number of events."""
        return sum(timeline.length for timeline in self._timelines.values())


def read_recent_events(
    store: EventStore, vocabulary: Vocabulary, as_of: datetime, zone: ZoneInfo
) -> RecentEvents:
    """Return the store's events since `as_of`.

    Args:
        store: The event store.
        vocabulary: Item ids and indices.
        as_of: The bundle's `as_of`.
        zone: Time zone of the shop.

    Raises:
        StoreError: The store cannot be read.
    """
    recent_events = RecentEvents(vocabulary, since=as_of.timestamp(), zone=zone)
    recent_events.extend(store.events_since(as_of))
    return recent_events


def _build_recent_event(event: StoredEvent, item: int, zone: ZoneInfo) -> RecentEvent:
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


def items_in_cart(events: PastEvents, since: float) -> list[int]:
    """Return the items added to the cart since `since` and neither bought nor removed later."""
    cart: dict[int, None] = {}
    for event in events.since(since):
        if event.kind == "cart" and event.quantity > 0:
            cart[event.item] = None
        elif event.kind in {"cart", "purchase"}:
            cart.pop(event.item, None)
    return list(cart)


def items_viewed(events: PastEvents, since: float) -> list[int]:
    """Return the items viewed since `since`, the last first, at most MAXIMUM_VIEWED."""
    views = [event.item for event in events.since(since) if event.kind == "view"]
    return list(unique_known_items(views[::-1])[:MAXIMUM_VIEWED])


def unique_known_items(items: Sequence[int]) -> tuple[int, ...]:
    """Return the items without duplicates and unknown items, in order of first occurrence."""
    return tuple(item for item in dict.fromkeys(items) if item != OUT_OF_VOCABULARY)

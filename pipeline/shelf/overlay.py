"""What shoppers did since the bundle's `as_of`, in memory; every acknowledged event goes in."""

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from pipeline.event_store.store import EventStore, StoredEvent
from pipeline.event_store.suppression import SuppressionList
from pipeline.recommenders.vocabulary import OUT_OF_VOCABULARY, Vocabulary

MAXIMUM_VIEWED = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """What the model may use of one event, and the id by which it counts once."""

    event_id: str
    time: float
    item: int
    kind: str
    quantity: float
    price: float
    basket: str | None
    store: str | None


@dataclass
class Overlay:
    """What each shopper did since `since`, in time order.

    A list of a shopper is replaced, never changed, so that a reader in another thread sees one
    state or the next. Several threads may take events in.
    """

    vocabulary: Vocabulary
    since: float
    _events: dict[str, tuple[Seen, ...]] = field(default_factory=dict)
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
            seen = [_seen(event, item) for event, item in zip(new, items, strict=True)]
            with self._lock:
                known = {each.event_id: each for each in self._events.get(user_id, ())}
                for each in seen:
                    known.setdefault(each.event_id, each)
                self._events[user_id] = tuple(sorted(known.values(), key=lambda each: each.time))

    def drop(self, forgotten: SuppressionList) -> None:
        """Lose all memory of some people."""
        with self._lock:
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

    def user_ids(self) -> tuple[str, ...]:
        """Return the shoppers who did something since."""
        with self._lock:
            return tuple(self._events)

    def __len__(self) -> int:
        """Return the number of events."""
        return sum(len(events) for events in self._events.values())


def read_overlay(store: EventStore, vocabulary: Vocabulary, as_of: datetime) -> Overlay:
    """Return what the store knows since `as_of`.

    Raises:
        StoreError: The store cannot be read.
    """
    overlay = Overlay(vocabulary, since=as_of.timestamp())
    overlay.extend(store.events_since(as_of))
    return overlay


def _seen(event: StoredEvent, item: int) -> Seen:
    return Seen(
        event_id=event.event_id,
        time=event.timestamp.timestamp(),
        item=item,
        kind=event.event_type,
        quantity=event.quantity,
        price=event.price,
        basket=event.basket_id,
        store=event.store_id,
    )


def cart_of(events: Sequence[Seen], since: float) -> list[int]:
    """Return what lies in the cart: put in since then, and neither bought nor taken out after."""
    cart: dict[int, None] = {}
    for event in events:
        if event.kind == "cart" and event.quantity > 0 and event.time >= since:
            cart[event.item] = None
        elif event.kind in {"cart", "purchase"}:
            cart.pop(event.item, None)
    return list(cart)


def viewed_of(events: Sequence[Seen], since: float) -> list[int]:
    """Return what was looked at since then, the last first."""
    views = [event.item for event in events if event.kind == "view" and event.time >= since]
    return list(known(views[::-1])[:MAXIMUM_VIEWED])


def known(items: Sequence[int]) -> tuple[int, ...]:
    """Return the known items, each once, in their order."""
    return tuple(item for item in dict.fromkeys(items) if item != OUT_OF_VOCABULARY)

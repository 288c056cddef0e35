"""What all shelves of one service share, however often the model is exchanged.

Design choices:

- Every worker writes to one database, and so does forgetting by command. What others
  wrote there is learnt by asking: for events every second, for the rest every few seconds.
- Events are asked for by when they were received, from a while before the newest that is known: a
  transaction may end later than one that began after it, and clocks of two machines differ.
- Whoever remembers events is told each once, whether it came here or elsewhere. One that is being
  made is told what comes in while it reads the store, and leaves out what it has read already.
"""

import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol
from weakref import WeakSet

from pipeline.event_store.cleaning import retain
from pipeline.event_store.store import EventStore, StoredEvent
from pipeline.event_store.suppression import SuppressionList
from pipeline.serving.engine.periodic_tasks import PeriodicTask, PeriodicTasks
from pipeline.serving.engine.prediction_log import PredictionLog
from pipeline.serving.reranking.availability import Availability

FOLLOW_SECONDS = 1.0
LOOK_SECONDS = 5.0
DAY_SECONDS = 86_400.0
OVERLAP = timedelta(seconds=30)

log = logging.getLogger("evergreen.serving")


class EventListener(Protocol):
    """What holds events in memory."""

    def learn(self, events: Sequence[StoredEvent]) -> None:
        """Take in events that are on disk."""
        ...

    def forget(self, people: SuppressionList) -> None:
        """Lose all memory of some people."""
        ...


class SharedState:
    """The store, the prediction log, the clock, and what others wrote to the store."""

    def __init__(
        self,
        store: EventStore,
        *,
        retention_days: int,
        follow_seconds: float = FOLLOW_SECONDS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Take the store over; `close` closes it too.

        Args:
            store: Where events and predictions go.
            retention_days: How long they are kept.
            follow_seconds: Between two looks for events that others wrote.
            look_seconds: Between two looks at who is forgotten and what cannot be bought.
        """
        self.store = store
        self.predictions = PredictionLog(store.log)
        self._memories: WeakSet[EventListener] = WeakSet()
        self._stocks: WeakSet[Availability] = WeakSet()
        self._lock = threading.Lock()
        self._latest = datetime.now(UTC)
        self._told: dict[str, datetime] = {}  # the events of the last while: when received
        self._newest = self._latest
        self._dropped = store.suppressed
        self._retention = timedelta(days=retention_days)
        self._housekeeping = PeriodicTasks(
            [
                PeriodicTask("Learning what others wrote", self.follow, follow_seconds),
                PeriodicTask("Forgetting", self._forget, look_seconds),
                PeriodicTask(
                    "Learning what can be bought", self.refresh_availability, look_seconds
                ),
                PeriodicTask("Retention", self._retain, DAY_SECONDS),
            ]
        )

    def now(self) -> datetime:
        """Return the time, always later than before: a clock that is put back changes no order."""
        self._latest = max(datetime.now(UTC), self._latest + timedelta(microseconds=1))
        return self._latest

    def remember(self, memory: EventListener) -> None:
        """Tell `memory` of events and of forgotten people from now on, as long as it is alive."""
        with self._lock:
            self._memories.add(memory)

    def stock(self, availability: Availability) -> None:
        """Keep `availability` as the store knows it, as long as it is alive.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._lock:
            self._stocks.add(availability)
        availability.refresh()

    def learn(self, events: Sequence[StoredEvent]) -> None:
        """Let all who remember events know these, which are on disk."""
        with self._lock:
            new = [event for event in events if event.event_id not in self._told]
            self._told.update((event.event_id, event.received_at) for event in new)
            memories = list(self._memories)
        for memory in memories:
            memory.learn(new)

    def follow(self) -> None:
        """Learn the events that other workers wrote.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._lock:
            self._newest = max([self._newest, *self._told.values()])
            since = min(self._newest, datetime.now(UTC)) - OVERLAP
            self._told = {name: at for name, at in self._told.items() if at >= since}
        if self.store.n_received_since(since) == len(self._told):
            return  # most often: nobody else writes
        received = self.store.received_since(since)
        with self._lock:
            new = [event_id for event_id in received if event_id not in self._told]
        self.learn(self.store.events(new))

    def refresh_availability(self, but: Availability | None = None) -> None:
        """Let all but one, which knows already, know what the store says can be bought.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._lock:
            stocks = [stock for stock in self._stocks if stock is not but]
        for stock in stocks:
            stock.refresh()

    def _forget(self) -> None:
        self.store.refresh()
        found = self.store.suppressed
        if found is self._dropped:
            return
        with self._lock:
            memories = list(self._memories)
        for memory in memories:
            memory.forget(found)
        self._dropped = found
        log.info("%d people are forgotten.", len(found))

    def _retain(self) -> None:
        for each in retain(self.store.database, datetime.now(UTC) - self._retention):
            if each.n_removed:
                log.info("%d old rows of %s were deleted.", each.n_removed, each.table)

    def close(self) -> None:
        """Write the waiting predictions and close the store."""
        self._housekeeping.close()
        self.predictions.close()
        self.store.close()

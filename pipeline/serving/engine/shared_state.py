"""State shared by all engines of one service; it outlives a change of model.

Design choices:

- All workers write to one database, and so does the `forget` command. Their writes are found by
  polling: events every second, suppressed users and availability every few seconds.
- Events are polled by receipt time, from some seconds before the newest known one: a transaction
  may commit later than one that started after it, and clocks of two machines differ.
- A listener gets each event once, whether this worker or another stored it. A listener that is
  still reading the store gets new events too, and skips those that it has read already.
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
from pipeline.serving.observability.counter_log import FLUSH_SECONDS, CounterLog
from pipeline.serving.reranking.availability import Availability

POLL_SECONDS = 1.0
REFRESH_SECONDS = 5.0
DAY_SECONDS = 86_400.0
OVERLAP = timedelta(seconds=30)

log = logging.getLogger("evergreen.serving")


class EventListener(Protocol):
    """Holds events in memory."""

    def handle_events(self, events: Sequence[StoredEvent]) -> None:
        """Add events that are on disk."""
        ...

    def forget(self, suppressed: SuppressionList) -> None:
        """Remove suppressed users from memory."""
        ...


class SharedState:
    """The store, the prediction log, the clock, and polling of other workers' writes."""

    def __init__(
        self,
        store: EventStore,
        *,
        retention_days: int,
        poll_seconds: float = POLL_SECONDS,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        """Take ownership of the store; `close` closes it.

        Args:
            store: Store of events and predictions.
            retention_days: Age in days at which events and predictions are deleted.
            poll_seconds: Interval for events of other workers.
            refresh_seconds: Interval for suppressed users and availability.
        """
        self.store = store
        self.predictions = PredictionLog(store.log)
        self._counters = CounterLog(store.add_counters)
        self._listeners: WeakSet[EventListener] = WeakSet()
        self._availabilities: WeakSet[Availability] = WeakSet()
        self._lock = threading.Lock()
        self._latest = datetime.now(UTC)
        self._published: dict[str, datetime] = {}  # recent event ids, with receipt times
        self._newest = self._latest
        self._suppressed = store.suppressed
        self._retention = timedelta(days=retention_days)
        self._tasks = PeriodicTasks(
            [
                PeriodicTask("Polling events", self.poll, poll_seconds),
                PeriodicTask("Refreshing suppressed users", self._forget, refresh_seconds),
                PeriodicTask("Refreshing availability", self.refresh_availability, refresh_seconds),
                PeriodicTask("Counting", self._counters.flush, FLUSH_SECONDS),
                PeriodicTask("Retention", self._retain, DAY_SECONDS),
            ]
        )

    def now(self) -> datetime:
        """Return the current time, always later than the last result, even if the clock is not."""
        self._latest = max(datetime.now(UTC), self._latest + timedelta(microseconds=1))
        return self._latest

    def add_listener(self, listener: EventListener) -> None:
        """Send events and suppressed users to `listener` from now on; holds a weak reference."""
        with self._lock:
            self._listeners.add(listener)

    def add_availability(self, availability: Availability) -> None:
        """Refresh `availability` now and at an interval; holds a weak reference.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._lock:
            self._availabilities.add(availability)
        availability.refresh()

    def publish_events(self, events: Sequence[StoredEvent]) -> None:
        """Send events that are on disk to all listeners, each event once."""
        with self._lock:
            new = [event for event in events if event.event_id not in self._published]
            self._published.update((event.event_id, event.received_at) for event in new)
            listeners = list(self._listeners)
        for listener in listeners:
            listener.handle_events(new)

    def poll(self) -> None:
        """Publish the events that other workers stored.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._lock:
            self._newest = max([self._newest, *self._published.values()])
            since = min(self._newest, datetime.now(UTC)) - OVERLAP
            self._published = {name: at for name, at in self._published.items() if at >= since}
        if self.store.n_received_since(since) == len(self._published):
            return  # the usual case: no other worker writes
        received = self.store.received_since(since)
        with self._lock:
            new = [event_id for event_id in received if event_id not in self._published]
        self.publish_events(self.store.events(new))

    def refresh_availability(self, except_for: Availability | None = None) -> None:
        """Read availability from the store, except for one that is up to date.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._lock:
            stale = [known for known in self._availabilities if known is not except_for]
        for availability in stale:
            availability.refresh()

    def _forget(self) -> None:
        self.store.refresh()
        suppressed = self.store.suppressed
        if suppressed is self._suppressed:
            return
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.forget(suppressed)
        self._suppressed = suppressed
        log.info("%d suppressed users are removed from memory.", len(suppressed))

    def _retain(self) -> None:
        for deletion in retain(self.store.database, datetime.now(UTC) - self._retention):
            if deletion.n_removed:
                log.info("%d old rows of %s were deleted.", deletion.n_removed, deletion.table)

    def close(self) -> None:
        """Write the waiting predictions and close the store."""
        self._tasks.close()
        self.predictions.close()
        self._counters.close()
        self.store.close()

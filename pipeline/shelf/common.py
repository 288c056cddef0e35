"""What all shelves of one service share, however often the model is exchanged."""

from datetime import UTC, datetime, timedelta
from typing import Protocol
from weakref import WeakSet

from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SuppressionList
from pipeline.shelf.housekeeping import Housekeeping
from pipeline.shelf.prediction_log import PredictionLog


class Remembers(Protocol):
    """What holds events in memory."""

    def forget(self, people: SuppressionList) -> None:
        """Lose all memory of some people."""
        ...


class Common:
    """The store, the prediction log, the clock, and who is forgotten."""

    def __init__(self, store: EventStore, *, retention_days: int) -> None:
        """Take the store over; `close` closes it too.

        Args:
            store: Where events and predictions go.
            retention_days: How long they are kept.
        """
        self.store = store
        self.predictions = PredictionLog(store.log)
        self.shelves: WeakSet[Remembers] = WeakSet()
        """All that are in memory; one that is not needed any more may go."""
        self._latest = datetime.now(UTC)
        self._housekeeping = Housekeeping(store, self._forget, retention_days=retention_days)

    def now(self) -> datetime:
        """Return the time, always later than before: a clock that is put back changes no order."""
        self._latest = max(datetime.now(UTC), self._latest + timedelta(microseconds=1))
        return self._latest

    def _forget(self, people: SuppressionList) -> None:
        for shelf in list(self.shelves):
            shelf.forget(people)

    def close(self) -> None:
        """Write the waiting predictions and close the store."""
        self._housekeeping.close()
        self.predictions.close()
        self.store.close()

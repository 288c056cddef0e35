"""What the service does beside its requests: it learns who is forgotten, and deletes what is old.

`python -m pipeline.serving forget` is another process, perhaps on another machine. The database is
where both look, so the service asks it every few seconds whether the list has changed.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pipeline.event_store.cleaning import retain
from pipeline.event_store.errors import StoreError
from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SuppressionList

POLL_SECONDS = 5.0
DAY_SECONDS = 86_400.0

log = logging.getLogger("evergreen.serving")


class Housekeeping:
    """A thread that looks after the store."""

    def __init__(
        self,
        store: EventStore,
        drop: Callable[[SuppressionList], None],
        *,
        retention_days: int,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Start the thread.

        Args:
            store: Whose list is read and whose old rows are deleted.
            drop: Called with the list when it has changed: memory of those people goes.
            retention_days: How long events and predictions are kept.
            poll_seconds: Between two looks at the list.
        """
        self._store = store
        self._drop = drop
        self._retention = timedelta(days=retention_days)
        self._poll_seconds = poll_seconds
        self._dropped = store.suppressed
        self._next_retention = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; what has begun is finished."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            try:
                self._forget()
                self._retain()
            except StoreError as error:
                log.warning("Forgetting and retention wait. %s", error)

    def _forget(self) -> None:
        self._store.refresh()
        found = self._store.suppressed
        if found is not self._dropped:
            self._drop(found)
            self._dropped = found
            log.info("%d people are forgotten.", len(found))

    def _retain(self) -> None:
        if time.monotonic() < self._next_retention:
            return
        done = retain(self._store.database, datetime.now(UTC) - self._retention)
        self._next_retention = time.monotonic() + DAY_SECONDS
        for each in done:
            if each.n_removed:
                log.info("%d old rows of %s were deleted.", each.n_removed, each.table)

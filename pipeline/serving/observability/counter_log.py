"""Counter log: the growth of the service's counters, kept in the event store by the hour.

Prometheus counters end with their process. Monitoring reads errors and latency of any period from
the event store, also of services that have ended. A killed process loses the last minute.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pipeline.event_store.errors import StoreError
from pipeline.event_store.tables import CounterIncrease
from pipeline.serving.observability.metrics import metrics

FLUSH_SECONDS = 60.0
RECOMMEND = "/recommend"
REQUESTS, SECONDS_BUCKETS = "requests", "recommend_seconds"
STORE_ERRORS, PREDICTIONS_DROPPED = "store_errors", "predictions_dropped"

log = logging.getLogger("evergreen.serving")


class CounterLog:
    """Writes the growth of this process's counters since the last write."""

    def __init__(self, write: Callable[[Sequence[CounterIncrease]], None]) -> None:
        """Begin to count.

        Args:
            write: Adds increases to the store; raises StoreError if it fails.
        """
        self._write = write
        self._written = read_counters()

    def flush(self) -> None:
        """Write the growth since the last write; a failed write is part of the next one.

        Raises:
            StoreError: The store cannot be written.
        """
        now = read_counters()
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        increases = [
            CounterIncrease(hour, name, labels, value - self._written.get((name, labels), 0.0))
            for (name, labels), value in now.items()
            if value > self._written.get((name, labels), 0.0)
        ]
        if increases:
            self._write(increases)
        self._written = now

    def close(self) -> None:
        """Write the last growth; if that fails, log it."""
        try:
            self.flush()
        except StoreError as error:
            log.warning("The last counters could not be written. %s", error)


def read_counters() -> dict[tuple[str, str], float]:
    """Return this process's counters by name and labels.

    They are requests by route and status, the cumulative buckets of the time of /recommend in
    seconds, failed writes to the store, and dropped predictions.
    """
    known = metrics()
    counters = {
        (REQUESTS, f"{sample.labels['route']} {sample.labels['status']}"): sample.value
        for family in known.requests.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    counters |= {
        (SECONDS_BUCKETS, sample.labels["le"]): sample.value
        for family in known.request_seconds.collect()
        for sample in family.samples
        if sample.name.endswith("_bucket") and sample.labels["route"] == RECOMMEND
    }
    single = ((STORE_ERRORS, known.store_errors), (PREDICTIONS_DROPPED, known.predictions_dropped))
    for name, counter in single:
        counters[name, ""] = sum(
            sample.value
            for family in counter.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        )
    return counters

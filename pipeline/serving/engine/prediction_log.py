"""Prediction log: predictions are queued and written to the store in the background.

A thread writes batches. While the store fails, predictions wait in memory. When the queue is full,
new predictions are dropped, counted and reported in the log.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

from pipeline.event_store.store import Prediction, StoreError
from pipeline.serving.observability.metrics import metrics

CAPACITY = 20_000
BATCH = 500
PAUSE_SECONDS = 0.05
RETRY_SECONDS = 0.5
WARNING_SECONDS = 10.0

log = logging.getLogger("evergreen.serving")


class PredictionLog:
    """A bounded queue and the thread that empties it into the store."""

    def __init__(
        self, write: Callable[[Sequence[Prediction]], None], *, capacity: int = CAPACITY
    ) -> None:
        """Start the thread.

        Args:
            write: Writes predictions to disk; raises StoreError if it fails.
            capacity: Maximum length of the queue.
        """
        self._write = write
        self._queue: queue.Queue[Prediction] = queue.Queue(capacity)
        self._waiting: dict[str, Prediction] = {}
        self._stopping = threading.Event()
        self._warned = -WARNING_SECONDS
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def put(self, prediction: Prediction) -> bool:
        """Queue a prediction; return False if it was dropped."""
        self._waiting[prediction.request_id] = prediction
        try:
            self._queue.put_nowait(prediction)
        except queue.Full:
            del self._waiting[prediction.request_id]
            metrics().predictions_dropped.inc()
            self._warn("The prediction log is full: predictions are dropped.")
            return False
        return True

    def find_waiting(self, request_id: str) -> Prediction | None:
        """Return a prediction that is not on disk yet, or None."""
        return self._waiting.get(request_id)

    def close(self, *, timeout_seconds: float = 5.0) -> None:
        """Write the waiting predictions and stop; count those not written in time as dropped."""
        self._stopping.set()
        self._thread.join(timeout_seconds)
        lost = self._queue.qsize()
        if lost:
            metrics().predictions_dropped.inc(lost)
            log.warning("%d predictions could not be logged before the service stopped.", lost)

    def _run(self) -> None:
        batch: list[Prediction] = []
        while True:
            batch.extend(self._take(BATCH - len(batch)))
            if not batch:
                if self._stopping.is_set():
                    return
                continue
            if self._try_write(batch):
                batch = []
            elif self._stopping.is_set():
                metrics().predictions_dropped.inc(len(batch))
                log.warning(
                    "%d predictions could not be logged before the service stopped.", len(batch)
                )
                return
            else:
                self._stopping.wait(RETRY_SECONDS)

    def _take(self, n: int) -> list[Prediction]:
        """Return up to `n` waiting predictions; wait up to PAUSE_SECONDS for the first."""
        taken: list[Prediction] = []
        if n <= 0:
            return taken
        try:
            taken.append(self._queue.get(timeout=PAUSE_SECONDS))
            if not self._stopping.is_set():
                self._stopping.wait(PAUSE_SECONDS)  # let a batch gather, for one commit
            while len(taken) < n:
                taken.append(self._queue.get_nowait())
        except queue.Empty:
            return taken
        return taken

    def _try_write(self, batch: list[Prediction]) -> bool:
        """Write a batch; return whether it is on disk."""
        metrics().predictions_waiting.set(len(batch) + self._queue.qsize())
        try:
            self._write(batch)
        except StoreError as error:
            metrics().store_errors.inc()
            self._warn(f"Predictions are waiting to be logged. {error}")
            return False
        for prediction in batch:
            self._waiting.pop(prediction.request_id, None)
        metrics().predictions_logged.inc(len(batch))
        metrics().predictions_waiting.set(self._queue.qsize())
        return True

    def _warn(self, message: str) -> None:
        now = time.monotonic()
        if now - self._warned >= WARNING_SECONDS:
            self._warned = now
            log.warning(message)

"""The shadow: a challenger that scores the same requests; no user sees its answers.

It works off the request path: requests enter a bounded queue, or are dropped and counted if the
queue is full. Its answers share the request id of the champion's predictions.
"""

import logging
import queue
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.event_store.store import EventStore, StoreError
from pipeline.event_store.tables import ShadowAnswer
from pipeline.serving.engine.engine import ANONYMOUS, RecommendationEngine
from pipeline.serving.payloads import RecommendAnswer, RecommendRequest
from pipeline.serving.releases.metrics import release_metrics

CAPACITY = 500
BATCH = 50
PAUSE_SECONDS = 0.2
CLOSE_SECONDS = 5.0

log = logging.getLogger("evergreen.serving")


@dataclass(frozen=True)
class _ShadowRequest:
    query: RecommendRequest
    request_id: str
    received_at: datetime


class Shadow:
    """A bounded queue of requests and the thread that scores them with the challenger."""

    def __init__(
        self, engine: RecommendationEngine, store: EventStore, *, capacity: int = CAPACITY
    ) -> None:
        """Start the thread.

        Args:
            engine: The challenger's engine.
            store: Event store that receives the answers.
            capacity: Maximum number of queued requests.
        """
        self.engine = engine
        self._store = store
        self._queue: queue.Queue[_ShadowRequest] = queue.Queue(capacity)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, query: RecommendRequest, answer: RecommendAnswer) -> bool:
        """Queue a request that the champion answered; return False if the queue is full."""
        try:
            self._queue.put_nowait(_ShadowRequest(query, answer.request_id, datetime.now(UTC)))
        except queue.Full:
            release_metrics().shadow.labels(outcome="dropped").inc()
            return False
        return True

    def close(self) -> None:
        """Score queued requests for a few seconds at most, and stop."""
        self._stopping.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        latest = float("inf")
        while time.monotonic() < latest:
            batch = self._take_batch()
            if batch:
                self._write([self._score(request) for request in batch])
            elif self._stopping.is_set():
                return
            if self._stopping.is_set() and latest == float("inf"):
                latest = time.monotonic() + CLOSE_SECONDS
        release_metrics().shadow.labels(outcome="dropped").inc(self._queue.qsize())

    def _take_batch(self) -> list[_ShadowRequest]:
        """Return up to BATCH queued requests; wait PAUSE_SECONDS for the first."""
        batch: list[_ShadowRequest] = []
        try:
            batch.append(self._queue.get(timeout=PAUSE_SECONDS))
            while len(batch) < BATCH:
                batch.append(self._queue.get_nowait())
        except queue.Empty:
            return batch
        return batch

    def _score(self, request: _ShadowRequest) -> ShadowAnswer:
        """Return the challenger's answer, with the random seed of the champion's."""
        query = self.engine.anonymize(_set_time(request))
        failure: str | None = None
        try:
            result = self.engine.answer(query, request.received_at, request.request_id)
            items, latency_ms = result.answer.items, result.latency_ms
        except Exception as error:  # any failure of the shadow is logged and counted
            log.exception("The shadow %s failed on a request.", self.engine.version)
            items, latency_ms = [], None
            failure = f"{type(error).__name__}: {error}"[:256]
        outcome = "failed" if failure else "answered"
        release_metrics().shadow.labels(outcome=outcome).inc()
        return ShadowAnswer(
            request_id=request.request_id,
            model_version=self.engine.version,
            user_id=query.user_id,
            items=[item.item_id for item in items],
            scores=[item.score for item in items],
            slots=[item.slot for item in items],
            latency_ms=latency_ms,
            error=failure,
            received_at=request.received_at,
        )

    def _write(self, answers: list[ShadowAnswer]) -> None:
        try:
            self._store.log_shadow([answer for answer in answers if answer.user_id != ANONYMOUS])
        except StoreError as error:
            release_metrics().shadow.labels(outcome="lost").inc(len(answers))
            log.warning("%d shadow answers were not written. %s", len(answers), error)


def _set_time(request: _ShadowRequest) -> RecommendRequest:
    """Return the query as of its arrival, so that later events do not count."""
    moment = request.query.at or request.received_at
    return request.query.model_copy(update={"at": moment})

"""The shadow: a challenger that scores the same requests, which nobody is shown.

It works off the request path: a request is put into a bounded queue or, when that is full,
dropped and counted. Its answers lie beside the champion's predictions, by the same request id.
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
class _Offered:
    query: RecommendRequest
    request_id: str
    received_at: datetime


class Shadow:
    """A bounded queue of requests, and the thread that lets the challenger score them."""

    def __init__(
        self, shelf: RecommendationEngine, store: EventStore, *, capacity: int = CAPACITY
    ) -> None:
        """Start the thread.

        Args:
            shelf: The challenger.
            store: Where its answers go.
            capacity: How many requests may wait.
        """
        self.shelf = shelf
        self._store = store
        self._queue: queue.Queue[_Offered] = queue.Queue(capacity)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, query: RecommendRequest, answer: RecommendAnswer) -> bool:
        """Queue a request that was answered; return False when it had to be dropped."""
        try:
            self._queue.put_nowait(_Offered(query, answer.request_id, datetime.now(UTC)))
        except queue.Full:
            release_metrics().shadow.labels(outcome="dropped").inc()
            return False
        return True

    def close(self) -> None:
        """Score what waits, as far as a few seconds allow, and stop."""
        self._stopping.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        latest = float("inf")
        while time.monotonic() < latest:
            batch = self._take()
            if batch:
                self._write([self._score(each) for each in batch])
            elif self._stopping.is_set():
                return
            if self._stopping.is_set() and latest == float("inf"):
                latest = time.monotonic() + CLOSE_SECONDS
        release_metrics().shadow.labels(outcome="dropped").inc(self._queue.qsize())

    def _take(self) -> list[_Offered]:
        """Return what waits, up to a batch; wait a moment for the first."""
        taken: list[_Offered] = []
        try:
            taken.append(self._queue.get(timeout=PAUSE_SECONDS))
            while len(taken) < BATCH:
                taken.append(self._queue.get_nowait())
        except queue.Empty:
            return taken
        return taken

    def _score(self, offered: _Offered) -> ShadowAnswer:
        """Return the answer, drawn from the same chance as the one that was shown."""
        query = self.shelf.anonymize(_at(offered))
        failure: str | None = None
        try:
            found = self.shelf.answer(query, offered.received_at, offered.request_id)
            items, latency_ms = found.answer.items, found.latency_ms
        except Exception as error:  # a model on trial may fail in any way: logged and counted
            log.exception("The shadow %s failed on a request.", self.shelf.version)
            items, latency_ms = [], None
            failure = f"{type(error).__name__}: {error}"[:256]
        outcome = "failed" if failure else "answered"
        release_metrics().shadow.labels(outcome=outcome).inc()
        return ShadowAnswer(
            request_id=offered.request_id,
            model_version=self.shelf.version,
            user_id=query.user_id,
            items=[item.item_id for item in items],
            scores=[item.score for item in items],
            slots=[item.slot for item in items],
            latency_ms=latency_ms,
            error=failure,
            received_at=offered.received_at,
        )

    def _write(self, answers: list[ShadowAnswer]) -> None:
        try:
            self._store.log_shadow([each for each in answers if each.user_id != ANONYMOUS])
        except StoreError as error:
            release_metrics().shadow.labels(outcome="lost").inc(len(answers))
            log.warning("%d answers of the shadow were not written. %s", len(answers), error)


def _at(offered: _Offered) -> RecommendRequest:
    """Return the request as of when it was answered: what came in since is not in it."""
    moment = offered.query.at or offered.received_at
    return offered.query.model_copy(update={"at": moment})

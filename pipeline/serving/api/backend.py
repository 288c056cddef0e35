"""Backend of the routes: the engine, its threads and its limits.

Design choices:

- The event loop answers from the cache: that is faster than a switch to another thread. Two threads
  run the model, which releases the GIL. One thread writes events, so that a slow disk never delays
  a recommendation. One thread does background work, see `item_routes`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pipeline.contracts.errors import EvergreenError
from pipeline.contracts.params import ServingParams
from pipeline.serving.api.idempotency import assign_event_ids
from pipeline.serving.engine.answer_cache import CachePolicy, NotCachedError
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.observability.current_request import bind_to_request, set_user
from pipeline.serving.observability.metrics import measure_stages
from pipeline.serving.parsing import parse_events, parse_recommend
from pipeline.serving.payloads import EventsAnswer, RecommendRequest
from pipeline.serving.releases.live import Releases

log = logging.getLogger("evergreen.serving")

KIB = 1024
# A write is refused after waiting for this fraction of the timeout.
QUEUE_FRACTION = 0.5
N_MODEL_THREADS = 2
BODY_SECONDS = 0.9  # plus the timeout of the answer: below BentoML's timeout
T = TypeVar("T")


class BodySizeError(EvergreenError):
    """The body is larger than params.yaml allows."""


class SlowBodyError(EvergreenError):
    """The body did not arrive in time."""


class BusyError(EvergreenError):
    """The answer would be too late."""


class Backend:
    """The engine, its limits, and the threads that use it."""

    def __init__(
        self, engine: RecommendationEngine, params: ServingParams, currency: str = ""
    ) -> None:
        """Take ownership of the engine; `close` closes it.

        Args:
            engine: The champion's engine.
            params: Section `serving` of params.yaml.
            currency: ISO 4217 code of the shop's prices; '' shows prices without currency.
        """
        self.releases = Releases(engine)
        self.params = params
        self.currency = currency
        self.maximum_body_bytes = params.maximum_body_kib * KIB
        self._model = ThreadPoolExecutor(N_MODEL_THREADS, thread_name_prefix="model")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="events")
        self._background = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._n_waiting = 0  # requests for the model

    @property
    def engine(self) -> RecommendationEngine:
        """The champion's engine; read it once per request, as a promotion may replace it."""
        return self.releases.champion

    async def recommend(self, body: bytes) -> bytes:
        """Return the JSON answer to a recommendation request."""
        query = parse_recommend(body)
        set_user(query.user_id)
        try:
            return self._answer(query, CachePolicy.CACHE_ONLY)
        except NotCachedError:
            queued = time.perf_counter()

        def answer() -> bytes:
            measure_stages(queue=time.perf_counter() - queued)
            return self._answer(query, CachePolicy.EITHER)

        self._n_waiting += 1
        try:
            return await self._run_within_timeout(self._model, answer)
        finally:
            self._n_waiting -= 1

    def _answer(self, query: RecommendRequest, source: CachePolicy) -> bytes:
        answer = self.releases.recommend(query, source)
        return answer.model_dump_json(exclude_none=True).encode()

    async def append(self, body: bytes, key: str | None = None) -> EventsAnswer:
        """Write events to disk and return the answer.

        Args:
            body: JSON of one event or a list of events.
            key: Idempotency-Key of the request.
        """
        events = assign_event_ids(parse_events(body), key)
        answer = await self.run_write(lambda: self.releases.append(events))
        if not self._n_waiting:
            try:
                self._model.submit(self._refresh_cache, {event.user_id for event in events})
            except RuntimeError:  # the service is stopping; the events are on disk all the same
                log.debug("The service is stopping: cached answers are not refreshed.")
        return answer

    def _refresh_cache(self, user_ids: Iterable[str]) -> None:
        """Refresh the cached answers of users with new events, so that their next one is fast."""
        try:
            self.releases.prepare(user_ids)
        except Exception:  # no request waits for it; the next request reports the error
            log.exception("Cached answers could not be refreshed.")

    async def run_write(self, work: Callable[[], T]) -> T:
        """Run `work` on the thread that writes; refuse it if it waited there too long."""
        deadline = time.monotonic() + self.params.timeout_seconds * QUEUE_FRACTION

        def work_in_time() -> T:
            if time.monotonic() > deadline:
                raise _busy_error()
            return work()

        return await self._run_within_timeout(self._writer, work_in_time)

    async def run_in_background(self, work: Callable[[], T]) -> T:
        """Run `work` on the thread for work that is not urgent."""
        return await self._run_within_timeout(self._background, work)

    async def _run_within_timeout(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.params.timeout_seconds):
                return await loop.run_in_executor(executor, bind_to_request(work))
        except TimeoutError as error:
            raise _busy_error() from error

    def close(self) -> None:
        """Finish the running work, write waiting predictions and close the store."""
        self._model.shutdown()
        self._writer.shutdown()
        self._background.shutdown()
        self.releases.close()


def _busy_error() -> BusyError:
    return BusyError(
        "an answer in time",
        received="more work than fits in the timeout",
        action="Try again in a moment.",
    )


def get_backend(request: Request) -> Backend:
    """Return the backend.

    Raises:
        HTTPException: The model is not loaded yet (503).
    """
    backend: Backend | None = request.app.state.backend
    if backend is None:
        raise HTTPException(503)
    return backend


async def read_body(request: Request, maximum: int) -> bytes:
    """Return the body of a request.

    Args:
        request: The request.
        maximum: Maximum size in bytes; reading stops there.

    Raises:
        BodySizeError: The body is larger.
        SlowBodyError: The body does not arrive within BODY_SECONDS.
    """
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    chunks: list[bytes] = []
    received = 0
    if size <= maximum:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.stream():
                    received += len(chunk)
                    chunks.append(chunk)
                    if received > maximum:
                        break
        except TimeoutError as error:
            raise _slow_body_error(received) from error
    if max(size, received) > maximum:
        raise BodySizeError(
            f"a body of at most {maximum // KIB} KiB",
            received=f"{max(size, received) / KIB:,.0f} KiB",
            action="Send less at once.",
        )
    return b"".join(chunks)


def _slow_body_error(received: int) -> SlowBodyError:
    return SlowBodyError(
        f"a whole body within {BODY_SECONDS} s",
        received=f"{received} bytes",
        action="Send the body faster, or send less at once.",
    )

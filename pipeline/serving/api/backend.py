"""What the routes share: the engine, its threads and its limits.

Design choices:

- The event loop moves bytes, and answers from the cache: that takes less than the way to another
  thread and back. Two threads run the model, which works without Python's lock; one writes events:
  a slow disk never holds up a recommendation. One does what is not urgent, see `item_routes`.
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
from pipeline.serving.api.idempotency import identified
from pipeline.serving.engine.answer_cache import CachePolicy, NotCachedError
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.observability.current import about, carried
from pipeline.serving.observability.metrics import measure_stages
from pipeline.serving.payloads import EventsAnswer, RecommendRequest, parse_events, parse_recommend
from pipeline.serving.releases.live import Releases

log = logging.getLogger("evergreen.serving")

KIB = 1024
# A write that waited longer than this in line is refused rather than answered too late.
LINE_FRACTION = 0.5
N_MODEL_THREADS = 2
BODY_SECONDS = 0.9  # with the time for the answer it stays below BentoML's backstop
T = TypeVar("T")


class BodyError(EvergreenError):
    """The body is larger than params.yaml allows."""


class SlowError(EvergreenError):
    """The body did not come in time."""


class BusyError(EvergreenError):
    """The answer would come too late."""


class Backend:
    """A shelf, its limits, and the threads that work on it."""

    def __init__(
        self, shelf: RecommendationEngine, params: ServingParams, currency: str = ""
    ) -> None:
        """Take the shelf over; `close` closes it too.

        Args:
            shelf: What answers.
            params: params.yaml's section.
            currency: Of the shop's prices, as three letters; '' shows them without.
        """
        self.releases = Releases(shelf)
        self.params = params
        self.currency = currency
        self.maximum_body = params.maximum_body_kib * KIB
        self._model = ThreadPoolExecutor(N_MODEL_THREADS, thread_name_prefix="model")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="events")
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._waiting = 0  # for the model

    @property
    def shelf(self) -> RecommendationEngine:
        """The champion's; take it once per request, for it may be exchanged between two uses."""
        return self.releases.champion

    async def recommend(self, body: bytes) -> bytes:
        """Return the JSON answer to a recommendation request."""
        query = parse_recommend(body)
        about(query.user_id)
        try:
            return self._answer(query, CachePolicy.KEPT)
        except NotCachedError:
            queued = time.perf_counter()

        def answer() -> bytes:
            measure_stages(queue=time.perf_counter() - queued)
            return self._answer(query, CachePolicy.EITHER)

        self._waiting += 1
        try:
            return await self._within(self._model, answer)
        finally:
            self._waiting -= 1

    def _answer(self, query: RecommendRequest, source: CachePolicy) -> bytes:
        answer = self.releases.recommend(query, source)
        return answer.model_dump_json(exclude_none=True).encode()

    async def append(self, body: bytes, key: str | None = None) -> EventsAnswer:
        """Return the answer to new events, after they are on disk.

        Args:
            body: One event or a list of them.
            key: The request's Idempotency-Key.
        """
        events = identified(parse_events(body), key)
        answer = await self.write(lambda: self.releases.append(events))
        if not self._waiting:
            try:
                self._model.submit(self._prepare, {event.user_id for event in events})
            except RuntimeError:  # it is ending: what is on disk is acknowledged all the same
                log.debug("No answers are prepared any more.")
        return answer

    def _prepare(self, user_ids: Iterable[str]) -> None:
        """Let shoppers who did something not wait for the model when they ask next."""
        try:
            self.releases.prepare(user_ids)
        except Exception:  # nobody asked for it: whoever asks next is told what is wrong
            log.exception("Answers could not be prepared.")

    async def write(self, work: Callable[[], T]) -> T:
        """Return what `work` does on the thread that writes, unless it waited there too long."""
        latest = time.monotonic() + self.params.timeout_seconds * LINE_FRACTION

        def in_time() -> T:
            if time.monotonic() > latest:
                raise _busy()
            return work()

        return await self._within(self._writer, in_time)

    async def aside(self, work: Callable[[], T]) -> T:
        """Return what `work` does on the thread for what is not urgent."""
        return await self._within(self._aside, work)

    async def _within(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.params.timeout_seconds):
                return await loop.run_in_executor(executor, carried(work))
        except TimeoutError as error:
            raise _busy() from error

    def close(self) -> None:
        """Finish what is in work, write what waits."""
        self._model.shutdown()
        self._writer.shutdown()
        self._aside.shutdown()
        self.releases.close()


def _busy() -> BusyError:
    return BusyError(
        "an answer in time",
        received="more work than can be done in that time",
        action="Try again in a moment.",
    )


def backend_of(request: Request) -> Backend:
    """Return what answers; 503 before it is loaded."""
    backend: Backend | None = request.app.state.backend
    if backend is None:
        raise HTTPException(503)
    return backend


async def read_body(request: Request, maximum: int) -> bytes:
    """Return the body, without reading more than `maximum` bytes of it.

    Raises:
        BodyError: There is more.
        SlowError: It does not come in time.
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
            raise _slow(received) from error
    if max(size, received) > maximum:
        raise BodyError(
            f"a body of at most {maximum // KIB} KiB",
            received=f"{max(size, received) / KIB:,.0f} KiB",
            action="Send less at once.",
        )
    return b"".join(chunks)


def _slow(received: int) -> SlowError:
    return SlowError(
        f"a whole body within {BODY_SECONDS} s",
        received=f"{received} bytes",
        action="Send it faster, or less at once.",
    )

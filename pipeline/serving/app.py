"""The routes: bytes in, bytes out, and an error in three sentences whatever comes.

Design choices:

- Mounted in BentoML as a plain Starlette app: BentoML's own routing of `@bentoml.api` costs more
  than the model. /livez, /healthz and /readyz come from BentoML; the ones here answer only when
  the app runs alone.
- The event loop moves bytes, and answers from what is kept: that takes less than the way to another
  thread and back. Two threads run the model, which works without Python's lock; one writes events:
  a slow disk never holds up a recommendation. One does what is not urgent, see `siblings`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.errors import EvergreenError, NotFoundError, RequestError
from pipeline.event_store.store import StoreError
from pipeline.params import ServingParams
from pipeline.releases.live import Releases
from pipeline.serving.admin import admin_routes
from pipeline.serving.openapi import document
from pipeline.serving.siblings import Siblings
from pipeline.shelf.idempotency import HEADER, identified
from pipeline.shelf.kept import NotKeptError, Source
from pipeline.shelf.payloads import (
    EventsAnswer,
    RecommendRequest,
    parse_events,
    parse_recommend,
)
from pipeline.shelf.shelf import Shelf
from pipeline.storefront.gate import StorefrontClosedError
from pipeline.storefront.routes import storefront_routes
from pipeline.telemetry.current import about, carried
from pipeline.telemetry.metrics import exposition, measure_stages, metrics

log = logging.getLogger("evergreen.serving")

KIB = 1024
RETRY_AFTER = {"Retry-After": "1"}
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

    def __init__(self, shelf: Shelf, params: ServingParams, currency: str = "") -> None:
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
    def shelf(self) -> Shelf:
        """The champion's; take it once per request, for it may be exchanged between two uses."""
        return self.releases.champion

    async def recommend(self, body: bytes) -> bytes:
        """Return the JSON answer to a recommendation request."""
        query = parse_recommend(body)
        about(query.user_id)
        try:
            return self._answer(query, Source.KEPT)
        except NotKeptError:
            queued = time.perf_counter()

        def answer() -> bytes:
            measure_stages(queue=time.perf_counter() - queued)
            return self._answer(query, Source.EITHER)

        self._waiting += 1
        try:
            return await self._within(self._model, answer)
        finally:
            self._waiting -= 1

    def _answer(self, query: RecommendRequest, source: Source) -> bytes:
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
        "An answer in time was wanted",
        received="more work than can be done in that time",
        action="Try again in a moment.",
    )


def build_app() -> Starlette:
    """Return the routes; they answer 503 until `app.state.backend` is set."""
    routes = [
        Route("/recommend", _recommend, methods=["POST"]),
        Route("/events", _events, methods=["POST"]),
        *Siblings(_backend, read_body).routes(),
        Route("/docs.json", _docs, methods=["GET"]),
        Route("/healthz", _healthy, methods=["GET"]),
        Route("/readyz", _ready, methods=["GET"]),
        Route("/metrics", _metrics, methods=["GET"]),
        *admin_routes(),
        *storefront_routes(),
    ]
    handlers: dict[Any, Callable[[Request, Any], Response]] = {
        RequestError: _answer(422),
        NotFoundError: _answer(404),
        BodyError: _answer(413),
        SlowError: _answer(408),
        StorefrontClosedError: _answer(404),
        StoreError: _answer(503),
        BusyError: _answer(503),
        HTTPException: _http_error,
        ClientDisconnect: _gone,
        Exception: _unexpected,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.backend, app.state.desk = None, None
    return app


async def _recommend(request: Request) -> Response:
    backend = _backend(request)
    body = await read_body(request, backend.maximum_body)
    return Response(await backend.recommend(body), media_type="application/json")


async def _events(request: Request) -> Response:
    backend = _backend(request)
    body = await read_body(request, backend.maximum_body)
    return _json(await backend.append(body, request.headers.get(HEADER)), status=201)


async def _docs(request: Request) -> Response:
    return JSONResponse(document(_backend(request).params))


async def _healthy(_request: Request) -> Response:
    return Response("\n", media_type="text/plain")


async def _ready(request: Request) -> Response:
    _backend(request)
    return Response("\n", media_type="text/plain")


async def _metrics(_request: Request) -> Response:
    body, kind = await asyncio.to_thread(exposition)
    return Response(body, headers={"Content-Type": kind})


def _backend(request: Request) -> Backend:
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
            f"A body of at most {maximum // KIB} KiB was wanted",
            received=f"{max(size, received) / KIB:,.0f} KiB",
            action="Send less at once.",
        )
    return b"".join(chunks)


def _slow(received: int) -> SlowError:
    return SlowError(
        f"A whole body within {BODY_SECONDS} s was wanted",
        received=f"{received} bytes",
        action="Send it faster, or less at once.",
    )


def _json(value: BaseModel, *, status: int) -> Response:
    return Response(value.model_dump_json(), status_code=status, media_type="application/json")


def _answer(status: int) -> Callable[[Request, Any], Response]:
    def handler(_request: Request, error: EvergreenError) -> Response:
        if isinstance(error, StoreError):  # what a database says is for the log, not for a caller
            metrics().store_errors.inc()
            log.warning("Refused with %d. %s", status, error)
            said, hint = "the event store does not take it now", "Try again in a moment."
            return problem(status, error.wanted, received=said, action=hint)
        return problem(status, error.wanted, received=error.received, action=error.action)

    return handler


def problem(status: int, wanted: str, *, received: str, action: str) -> Response:
    """Return an error answer; it closes the connection when the body was not read."""
    headers = dict(RETRY_AFTER) if status == 503 else {}  # noqa: PLR2004
    if status in {408, 413}:
        headers["Connection"] = "close"
    error = {"wanted": wanted, "received": received, "action": action}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def _http_error(request: Request, error: HTTPException) -> Response:
    action = {
        404: "See /docs.json for the routes.",
        405: "See /docs.json for the methods.",
        503: "It is starting: try again in a moment.",
    }.get(error.status_code, "See /docs.json.")
    answer = problem(
        error.status_code,
        "A route of this service was wanted",
        received=f"{request.method} {request.url.path[:200]}: {error.detail}",
        action=action,
    )
    answer.headers.update(error.headers or {})
    return answer


def _gone(_request: Request, _error: ClientDisconnect) -> Response:
    return problem(400, "A whole body was wanted", received="a part of it", action="Send it again.")


def _unexpected(_request: Request, _error: Exception) -> Response:
    """Answer without a trace of the inside; the server's log has the error."""
    return problem(
        500, "An answer was wanted", received="an unexpected error", action="See the server's log."
    )

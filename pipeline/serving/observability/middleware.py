"""ASGI middleware: a request id, metrics, a log line and a trace for every request.

Plain ASGI with one wrapped function per request adds a few microseconds to an answer. The route
label comes from a fixed set, so no caller can create new series.
"""

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serving.observability.current_request import CURRENT, CurrentRequest
from pipeline.serving.observability.logs import FIELDS
from pipeline.serving.observability.metrics import metrics
from pipeline.serving.observability.pseudonyms import Pseudonyms
from pipeline.serving.observability.tracing import Tracing

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

HEADER = b"x-request-id"
# Hexadecimal digits and dashes, as gateways generate them; a user's name or number does not match.
WELL_FORMED = re.compile(rb"[0-9A-Fa-f-]{16,64}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SERVER_ERROR, NO_ANSWER = 500, 504

log = logging.getLogger("evergreen.requests")


class TelemetryMiddleware:
    """Records the requests to an app."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        label: Callable[[str], str],
        pseudonyms: Pseudonyms,
        tracing: Tracing | None,
    ) -> None:
        """Wrap an app.

        Args:
            app: The app that answers.
            label: Maps a path to one of a few route names.
            pseudonyms: Replaces user ids in log lines.
            tracing: Starts traces; None if tracing is off.
        """
        self._app = app
        self._label = label
        self._pseudonyms = pseudonyms
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and record it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        route = self._label(scope["path"])
        current = CurrentRequest(request_id_of(scope["headers"]))
        if self._tracing is not None:
            name = f"{method_of(scope)} {route}"
            current.trace = self._tracing.begin(name, scope["headers"])
        id_header = (HEADER, current.request_id.encode())
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), id_header]
            await send(message)

        token = CURRENT.set(current)
        metrics().requests_in_progress.inc()
        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            status = status or NO_ANSWER
            raise
        finally:
            metrics().requests_in_progress.dec()
            seconds = time.perf_counter() - started
            self._record(method_of(scope), route, status or SERVER_ERROR, seconds, current)
            CURRENT.reset(token)

    def _record(
        self, method: str, route: str, status: int, seconds: float, current: CurrentRequest
    ) -> None:
        count, duration = _get_series(route, status)
        count.inc()
        duration.observe(seconds)
        if current.trace is not None:
            current.trace.end(
                method=method, route=route, status=status, request_id=current.request_id
            )
        level = logging.WARNING if status >= SERVER_ERROR else logging.DEBUG
        if log.isEnabledFor(level):
            milliseconds = round(seconds * 1e3, 2)
            fields = {"method": method, "route": route, "status": status, "ms": milliseconds}
            if current.user_id is not None:
                fields["shopper"] = self._pseudonyms.of(current.user_id)
            text = " ".join(str(value) for value in fields.values())
            log.log(level, text, extra={FIELDS: fields})


@cache
def _get_series(route: str, status: int) -> tuple["Counter", "Histogram"]:
    """Return the labelled metrics of a request; without the cache the lookup doubles the cost."""
    return (
        metrics().requests.labels(route=route, status=status),
        metrics().request_seconds.labels(route=route),
    )


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the caller's request id if it is well-formed, else a new one.

    >>> request_id_of([(b"x-request-id", b"0123456789abcdef")])
    '0123456789abcdef'
    >>> len(request_id_of([(b"x-request-id", b"customer 2375")]))
    32
    """
    for name, value in headers:
        if name == HEADER and WELL_FORMED.fullmatch(value):
            return value.decode("ascii")
    return os.urandom(16).hex()


def method_of(scope: Scope) -> str:
    """Return the HTTP method, or OTHER if it is not a standard one."""
    method: str = scope["method"]
    return method if method in METHODS else "OTHER"

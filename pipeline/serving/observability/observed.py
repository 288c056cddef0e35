"""ASGI middleware: a request id, numbers, a log line and a trace for every request.

Plain ASGI, one wrapped function per request: it adds some microseconds to an answer. The label of
a route comes from a function that knows few routes, so that no caller can make new series.
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

from pipeline.serving.observability.current import CURRENT, Current
from pipeline.serving.observability.logs import FIELDS
from pipeline.serving.observability.metrics import metrics
from pipeline.serving.observability.pseudonyms import Pseudonyms
from pipeline.serving.observability.tracing import Tracing

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

HEADER = b"x-request-id"
# Hexadecimal digits and dashes, as gateways make them: nobody's name or number fits by accident.
WELL_FORMED = re.compile(rb"[0-9A-Fa-f-]{16,64}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SERVER_ERROR, NO_ANSWER = 500, 504

log = logging.getLogger("evergreen.requests")


class Observed:
    """Watches the requests to an app."""

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
            app: What answers.
            label: From a path to the name of its route; of few values.
            pseudonyms: For the shopper that a log line is about.
            tracing: None where it is off.
        """
        self._app = app
        self._label = label
        self._pseudonyms = pseudonyms
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        route = self._label(scope["path"])
        current = Current(request_id_of(scope["headers"]))
        if self._tracing is not None:
            name = f"{method_of(scope)} {route}"
            current.trace = self._tracing.begin(name, scope["headers"])
        named = (HEADER, current.request_id.encode())
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), named]
            await send(message)

        token = CURRENT.set(current)
        metrics().requests_in_progress.inc()
        try:
            await self._app(scope, receive, sent)
        except asyncio.CancelledError:
            status = status or NO_ANSWER
            raise
        finally:
            metrics().requests_in_progress.dec()
            seconds = time.perf_counter() - started
            self._note(method_of(scope), route, status or SERVER_ERROR, seconds, current)
            CURRENT.reset(token)

    def _note(self, method: str, route: str, status: int, seconds: float, current: Current) -> None:
        count, duration = _series(route, status)
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
def _series(route: str, status: int) -> tuple["Counter", "Histogram"]:
    """Return where a request is counted; looking labels up for each would cost as much again."""
    return (
        metrics().requests.labels(route=route, status=status),
        metrics().request_seconds.labels(route=route),
    )


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the request id that came along if it is well-formed, else a new one.

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
    """Return the method, OTHER for one that a caller made up."""
    method: str = scope["method"]
    return method if method in METHODS else "OTHER"

"""The routes: bytes in, bytes out, and an error in three sentences whatever comes.

Design choices:

- Mounted in BentoML as a plain Starlette app: BentoML's own routing of `@bentoml.api` costs more
  than the model. /livez, /healthz and /readyz come from BentoML; the ones here answer only when
  the app runs alone.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.contracts.errors import EvergreenError, NotFoundError, RequestError
from pipeline.event_store.store import StoreError
from pipeline.serving.api.admin import admin_routes
from pipeline.serving.api.backend import (
    BodyError,
    BusyError,
    SlowError,
    backend_of,
    read_body,
)
from pipeline.serving.api.idempotency import HEADER
from pipeline.serving.api.item_routes import item_routes
from pipeline.serving.api.openapi import document
from pipeline.serving.observability.metrics import exposition, metrics
from pipeline.serving.storefront.gate import StorefrontClosedError
from pipeline.serving.storefront.routes import storefront_routes

log = logging.getLogger("evergreen.serving")

RETRY_AFTER = {"Retry-After": "1"}


def build_app() -> Starlette:
    """Return the routes; they answer 503 until `app.state.backend` is set."""
    routes = [
        Route("/recommend", _recommend, methods=["POST"]),
        Route("/events", _events, methods=["POST"]),
        *item_routes(),
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
    backend = backend_of(request)
    body = await read_body(request, backend.maximum_body)
    return Response(await backend.recommend(body), media_type="application/json")


async def _events(request: Request) -> Response:
    backend = backend_of(request)
    body = await read_body(request, backend.maximum_body)
    return _json(await backend.append(body, request.headers.get(HEADER)), status=201)


async def _docs(request: Request) -> Response:
    return JSONResponse(document(backend_of(request).params))


async def _healthy(_request: Request) -> Response:
    return Response("\n", media_type="text/plain")


async def _ready(request: Request) -> Response:
    backend_of(request)
    return Response("\n", media_type="text/plain")


async def _metrics(_request: Request) -> Response:
    body, kind = await asyncio.to_thread(exposition)
    return Response(body, headers={"Content-Type": kind})


def _json(value: BaseModel, *, status: int) -> Response:
    return Response(value.model_dump_json(), status_code=status, media_type="application/json")


def _answer(status: int) -> Callable[[Request, Any], Response]:
    def handler(_request: Request, error: EvergreenError) -> Response:
        if isinstance(error, StoreError):  # what a database says is for the log, not for a caller
            metrics().store_errors.inc()
            log.warning("Refused with %d. %s", status, error)
            said, hint = "the event store does not take it now", "Try again in a moment."
            return problem(status, error.expected, received=said, action=hint)
        return problem(status, error.expected, received=error.received, action=error.action)

    return handler


def problem(status: int, expected: str, *, received: str, action: str) -> Response:
    """Return an error answer; it closes the connection when the body was not read."""
    headers = dict(RETRY_AFTER) if status == 503 else {}  # noqa: PLR2004
    if status in {408, 413}:
        headers["Connection"] = "close"
    error = {"wanted": expected, "received": received, "action": action}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def _http_error(request: Request, error: HTTPException) -> Response:
    action = {
        404: "See /docs.json for the routes.",
        405: "See /docs.json for the methods.",
        503: "It is starting: try again in a moment.",
    }.get(error.status_code, "See /docs.json.")
    answer = problem(
        error.status_code,
        "a route of this service",
        received=f"{request.method} {request.url.path[:200]}: {error.detail}",
        action=action,
    )
    answer.headers.update(error.headers or {})
    return answer


def _gone(_request: Request, _error: ClientDisconnect) -> Response:
    return problem(400, "a whole body", received="a part of it", action="Send it again.")


def _unexpected(_request: Request, _error: Exception) -> Response:
    """Answer without a trace of the inside; the server's log has the error."""
    return problem(500, "an answer", received="an unexpected error", action="See the server's log.")

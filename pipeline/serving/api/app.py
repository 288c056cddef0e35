"""The Starlette app: routes, and one JSON format for all errors.

Design choices:

- The app is mounted in BentoML as plain ASGI: BentoML's own `@bentoml.api` routing costs more time
  than the model. BentoML serves /livez, /healthz and /readyz; the probes here answer only if the
  app runs without BentoML.
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
    BodySizeError,
    BusyError,
    SlowBodyError,
    get_backend,
    read_body,
)
from pipeline.serving.api.idempotency import HEADER
from pipeline.serving.api.item_routes import item_routes
from pipeline.serving.api.openapi import build_document
from pipeline.serving.observability.metrics import metrics, render_metrics
from pipeline.serving.storefront.gate import StorefrontClosedError
from pipeline.serving.storefront.routes import build_storefront_routes

log = logging.getLogger("evergreen.serving")

RETRY_AFTER = {"Retry-After": "1"}


def build_app() -> Starlette:
    """Return the app; its routes answer 503 until `app.state.backend` is set."""
    routes = [
        Route("/recommend", _recommend, methods=["POST"]),
        Route("/events", _events, methods=["POST"]),
        *item_routes(),
        Route("/docs.json", _docs, methods=["GET"]),
        Route("/healthz", _healthy, methods=["GET"]),
        Route("/readyz", _ready, methods=["GET"]),
        Route("/metrics", _metrics, methods=["GET"]),
        *admin_routes(),
        *build_storefront_routes(),
    ]
    handlers: dict[Any, Callable[[Request, Any], Response]] = {
        RequestError: _error_handler(422),
        NotFoundError: _error_handler(404),
        BodySizeError: _error_handler(413),
        SlowBodyError: _error_handler(408),
        StorefrontClosedError: _error_handler(404),
        StoreError: _error_handler(503),
        BusyError: _error_handler(503),
        HTTPException: _http_error,
        ClientDisconnect: _disconnected,
        Exception: _unexpected,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.backend, app.state.resources = None, None
    return app


async def _recommend(request: Request) -> Response:
    backend = get_backend(request)
    body = await read_body(request, backend.maximum_body_bytes)
    return Response(await backend.recommend(body), media_type="application/json")


async def _events(request: Request) -> Response:
    backend = get_backend(request)
    body = await read_body(request, backend.maximum_body_bytes)
    return _json(await backend.append(body, request.headers.get(HEADER)), status=201)


async def _docs(request: Request) -> Response:
    return JSONResponse(build_document(get_backend(request).params))


async def _healthy(_request: Request) -> Response:
    return Response("\n", media_type="text/plain")


async def _ready(request: Request) -> Response:
    get_backend(request)
    return Response("\n", media_type="text/plain")


async def _metrics(_request: Request) -> Response:
    body, kind = await asyncio.to_thread(render_metrics)
    return Response(body, headers={"Content-Type": kind})


def _json(value: BaseModel, *, status: int) -> Response:
    return Response(value.model_dump_json(), status_code=status, media_type="application/json")


def _error_handler(status: int) -> Callable[[Request, Any], Response]:
    def handler(_request: Request, error: EvergreenError) -> Response:
        if isinstance(error, StoreError):  # database messages go to the log, not to the caller
            metrics().store_errors.inc()
            log.warning("Refused with %d. %s", status, error)
            return error_response(
                status,
                error.expected,
                received="an event store that is not available now",
                action="Try again in a moment.",
            )
        return error_response(status, error.expected, received=error.received, action=error.action)

    return handler


def error_response(status: int, expected: str, *, received: str, action: str) -> Response:
    """Return an error as JSON; 408 and 413 also close the connection, as the body is not read."""
    headers = dict(RETRY_AFTER) if status == 503 else {}  # noqa: PLR2004
    if status in {408, 413}:
        headers["Connection"] = "close"
    error = {"wanted": expected, "received": received, "action": action}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def _http_error(request: Request, error: HTTPException) -> Response:
    action = {
        404: "See /docs.json for the routes.",
        405: "See /docs.json for the methods.",
        503: "The service is starting. Try again in a moment.",
    }.get(error.status_code, "See /docs.json.")
    answer = error_response(
        error.status_code,
        "a route of this service",
        received=f"{request.method} {request.url.path[:200]}: {error.detail}",
        action=action,
    )
    answer.headers.update(error.headers or {})
    return answer


def _disconnected(_request: Request, _error: ClientDisconnect) -> Response:
    return error_response(400, "a whole body", received="a part of one", action="Send it again.")


def _unexpected(_request: Request, _error: Exception) -> Response:
    """Return 500 without details; the server's log has the error."""
    return error_response(
        500, "an answer", received="an unexpected error", action="See the server's log."
    )

"""The storefront's routes: pages and their files, and reads for the page.

All are plain functions, which Starlette runs in a thread: the event loop is left to the
recommendations. Answers about shoppers are never kept by a browser.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.contracts.errors import RequestError
from pipeline.contracts.schemas import ID_RULE, is_id
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.storefront.gate import check_open
from pipeline.serving.storefront.pages import HEADERS, asset, page
from pipeline.serving.storefront.payloads import ProductsAnswer, ShoppersAnswer, StatusAnswer
from pipeline.serving.storefront.shoppers import Shoppers
from pipeline.serving.storefront.status import drift_light

MAXIMUM_PRODUCTS = 200
Endpoint = Callable[[Request], Response]


def storefront_routes() -> list[Route]:
    """Return the routes; those that show the shop answer only where `gate.is_open`."""
    return [
        Route("/", _gated(_index), methods=["GET"]),
        Route("/docs", _docs, methods=["GET"]),
        Route("/assets/{version}/{name}", asset, methods=["GET"]),
        Route("/storefront/status", _gated(_status), methods=["GET"]),
        Route("/storefront/items", _gated(_items), methods=["GET"]),
        Route("/storefront/shoppers", _gated(_find), methods=["GET"]),
        Route("/storefront/shoppers/{user_id:path}", _gated(_history), methods=["GET"]),
    ]


def _gated(endpoint: Endpoint) -> Endpoint:
    def checked(request: Request) -> Response:
        check_open(_backend(request).params, request.scope)
        return endpoint(request)

    return checked


def _index(request: Request) -> Response:
    return page(request, "index.html", _backend(request).currency)


def _docs(request: Request) -> Response:
    return page(request, "docs.html")


def _status(request: Request) -> Response:
    shelf = _shelf(request)
    answer = StatusAnswer(
        model_name=shelf.model_name,
        model_version=shelf.version,
        as_of=shelf.runtime.as_of,
        drift=drift_light(),
    )
    return _json(answer)


def _items(request: Request) -> Response:
    wanted = request.query_params.getlist("id")
    if not 1 <= len(wanted) <= MAXIMUM_PRODUCTS:
        raise RequestError(
            f"between 1 and {MAXIMUM_PRODUCTS} item ids, as ?id=…&id=…",
            received=f"{len(wanted)}",
            action="Ask for the items in parts.",
        )
    return _json(ProductsAnswer(items=_shoppers(request).products(wanted)))


def _find(request: Request) -> Response:
    query = request.query_params.get("query", "")
    if query:  # the beginning of an id may end in a space
        _check_id(query, query.rstrip(" "))
    shoppers = _shoppers(request)
    found = shoppers.find(query, datetime.now(UTC))
    return _json(ShoppersAnswer(n_shoppers=len(shoppers), shoppers=found))


def _history(request: Request) -> Response:
    user_id = request.path_params["user_id"]
    if not user_id:
        raise HTTPException(404)
    _check_id(user_id, user_id)
    return _json(_shoppers(request).history(user_id, datetime.now(UTC)))


def _check_id(text: str, rule: str) -> None:
    """Check that what must follow the rule of ids does.

    Args:
        text: What came.
        rule: The part of it that must be an id.
    """
    if not is_id(rule):
        raise RequestError(
            f"a shopper's id to {ID_RULE}",
            received=f"{len(text)} characters",
            action="Correct the id.",
        )


def _backend(request: Request) -> Any:
    backend = request.app.state.backend
    if backend is None:
        raise HTTPException(503)
    return backend


def _shelf(request: Request) -> RecommendationEngine:
    shelf: RecommendationEngine = _backend(request).engine
    return shelf


def _shoppers(request: Request) -> Shoppers:
    """Return what reads the shelf that answers now, made when it is first asked for."""
    answering = _shelf(request).runtime
    held: Shoppers | None = getattr(request.app.state, "shoppers", None)
    if held is None or held.answering is not answering:
        held = Shoppers(answering)
        request.app.state.shoppers = held
    return held


def _json(value: BaseModel) -> Response:
    headers = {**HEADERS, "Cache-Control": "no-store"}
    return Response(value.model_dump_json(), headers=headers, media_type="application/json")

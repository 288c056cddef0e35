"""The storefront's routes: pages, their files, and the data that they read.

All are plain functions, which Starlette runs in a thread, so the event loop stays free for the
recommendations. Browsers do not cache answers about shoppers.
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
from pipeline.serving.storefront.pages import HEADERS, render_page, send_asset
from pipeline.serving.storefront.payloads import ProductsAnswer, ShoppersAnswer, StatusAnswer
from pipeline.serving.storefront.shoppers import Shoppers
from pipeline.serving.storefront.status import read_drift_light

MAXIMUM_PRODUCTS = 200
Endpoint = Callable[[Request], Response]


def build_storefront_routes() -> list[Route]:
    """Return the routes; those that show personal data require `gate.is_open`."""
    return [
        Route("/", _require_open(_show_index), methods=["GET"]),
        Route("/docs", _show_docs, methods=["GET"]),
        Route("/assets/{version}/{name}", send_asset, methods=["GET"]),
        Route("/storefront/status", _require_open(_read_status), methods=["GET"]),
        Route("/storefront/items", _require_open(_read_items), methods=["GET"]),
        Route("/storefront/shoppers", _require_open(_find_shoppers), methods=["GET"]),
        Route("/storefront/shoppers/{user_id:path}", _require_open(_read_history), methods=["GET"]),
    ]


def _require_open(endpoint: Endpoint) -> Endpoint:
    def checked_endpoint(request: Request) -> Response:
        check_open(_get_backend(request).params, request.scope)
        return endpoint(request)

    return checked_endpoint


def _show_index(request: Request) -> Response:
    return render_page(request, "index.html", _get_backend(request).currency)


def _show_docs(request: Request) -> Response:
    return render_page(request, "docs.html")


def _read_status(request: Request) -> Response:
    engine = _get_engine(request)
    answer = StatusAnswer(
        model_name=engine.model_name,
        model_version=engine.version,
        as_of=engine.runtime.as_of,
        drift=read_drift_light(),
    )
    return _json_response(answer)


def _read_items(request: Request) -> Response:
    item_ids = request.query_params.getlist("id")
    if not 1 <= len(item_ids) <= MAXIMUM_PRODUCTS:
        raise RequestError(
            f"between 1 and {MAXIMUM_PRODUCTS} item ids, as ?id=…&id=…",
            received=f"{len(item_ids)}",
            action="Split the ids into several requests.",
        )
    return _json_response(ProductsAnswer(items=_get_shoppers(request).products(item_ids)))


def _find_shoppers(request: Request) -> Response:
    query = request.query_params.get("query", "")
    if query:  # the beginning of an id may end in a space
        _check_id(query, query.rstrip(" "))
    shoppers = _get_shoppers(request)
    matches = shoppers.find(query, datetime.now(UTC))
    return _json_response(ShoppersAnswer(n_shoppers=len(shoppers), shoppers=matches))


def _read_history(request: Request) -> Response:
    user_id = request.path_params["user_id"]
    if not user_id:
        raise HTTPException(404)
    _check_id(user_id, user_id)
    return _json_response(_get_shoppers(request).history(user_id, datetime.now(UTC)))


def _check_id(text: str, id_part: str) -> None:
    """Check an id from a request.

    Args:
        text: The whole text; the error gives its length.
        id_part: The part that must be a valid id.

    Raises:
        RequestError: The part is not a valid id.
    """
    if not is_id(id_part):
        raise RequestError(
            f"a shopper's id to {ID_RULE}",
            received=f"{len(text)} characters",
            action="Correct the id.",
        )


def _get_backend(request: Request) -> Any:
    backend = request.app.state.backend
    if backend is None:
        raise HTTPException(503)
    return backend


def _get_engine(request: Request) -> RecommendationEngine:
    engine: RecommendationEngine = _get_backend(request).engine
    return engine


def _get_shoppers(request: Request) -> Shoppers:
    """Return the reader of the champion's data, built at the first request."""
    runtime = _get_engine(request).runtime
    shoppers: Shoppers | None = getattr(request.app.state, "shoppers", None)
    if shoppers is None or shoppers.runtime is not runtime:
        shoppers = Shoppers(runtime)
        request.app.state.shoppers = shoppers
    return shoppers


def _json_response(value: BaseModel) -> Response:
    headers = {**HEADERS, "Cache-Control": "no-store"}
    return Response(value.model_dump_json(), headers=headers, media_type="application/json")

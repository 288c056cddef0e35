"""The storefront's part of the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from pipeline.storefront.payloads import (
    ProductsAnswer,
    ShopperAnswer,
    ShoppersAnswer,
    StatusAnswer,
)

MODELS: tuple[type[BaseModel], ...] = (
    ProductsAnswer,
    ShopperAnswer,
    ShoppersAnswer,
    StatusAnswer,
)
JSON = "application/json"
SCHEMAS = "#/components/schemas/"
ERRORS = {
    "404": "Not shown: serving.storefront is false, or the request is from elsewhere.",
    "414": "The path and query are too long.",
    "422": "The question is not what was wanted.",
    "503": "Not now: try again after the seconds in Retry-After.",
}
TEXT = {"type": "string", "maxLength": 128}


def storefront_paths() -> dict[str, Any]:
    """Return the paths of the pages and of what they read."""
    items = {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 200}
    return {
        "/": _page("storefront", "The storefront page; like all it reads, on this machine only."),
        "/docs": _page("docs", "This document, to read."),
        "/storefront/status": _read(
            "storefront_status", "The model that answers, and monitoring's verdict.", StatusAnswer
        ),
        "/storefront/items": _read(
            "storefront_items",
            "What is shown of products; unknown ones are left out.",
            ProductsAnswer,
            _parameter("id", "query", items, "Item ids, as ?id=…&id=…", required=True),
        ),
        "/storefront/shoppers": _read(
            "storefront_shoppers",
            "Shoppers to choose from.",
            ShoppersAnswer,
            _parameter("query", "query", TEXT, "How the id begins; some of every kind if absent."),
        ),
        "/storefront/shoppers/{user_id}": _read(
            "storefront_shopper",
            "What is known of a shopper: the last baskets, the cart, what was just looked at.",
            ShopperAnswer,
            _parameter("user_id", "path", {**TEXT, "minLength": 1}, "", required=True),
        ),
    }


def _read(
    name: str, summary: str, answer: type[BaseModel], *parameters: dict[str, Any]
) -> dict[str, Any]:
    done = {JSON: {"schema": {"$ref": SCHEMAS + answer.__name__}}}
    error = {JSON: {"schema": {"$ref": SCHEMAS + "ErrorAnswer"}}}
    operation = {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": "Done.", "content": done},
            **{code: {"description": text, "content": error} for code, text in ERRORS.items()},
        },
    }
    return {"get": {**operation, **({"parameters": list(parameters)} if parameters else {})}}


def _parameter(
    name: str, place: str, schema: dict[str, Any], description: str, *, required: bool = False
) -> dict[str, Any]:
    found = {"name": name, "in": place, "required": required, "schema": schema}
    return {**found, "description": description} if description else found


def _page(name: str, summary: str) -> dict[str, Any]:
    text = {"text/html": {"schema": {"type": "string"}}}
    responses: dict[str, Any] = {"200": {"description": "The page.", "content": text}}
    if name == "storefront":
        error = {JSON: {"schema": {"$ref": SCHEMAS + "ErrorAnswer"}}}
        for code in ("404", "503"):
            responses[code] = {"description": ERRORS[code], "content": error}
    return {"get": {"operationId": name, "summary": summary, "responses": responses}}

"""The storefront's part of the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from pipeline.contracts.schemas import ID_LENGTH, ID_PATTERN
from pipeline.serving.openapi_parts import build_parameter, json_operation, text_operation
from pipeline.serving.storefront.payloads import (
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
HTML = "text/html"
ERRORS = {
    "404": "Closed: serving.storefront is false, or the request is from another machine.",
    "414": "The path and query are too long.",
    "422": "The query is invalid.",
    "503": "Not available now: try again after the seconds in Retry-After.",
}
ID = {"type": "string", "maxLength": ID_LENGTH, "pattern": ID_PATTERN}
# The beginning of an id; the empty string matches all.
ID_PREFIX = {"type": "string", "maxLength": ID_LENGTH, "pattern": f"^$|{ID_PATTERN[:-1]} *$"}


def build_storefront_paths() -> dict[str, Any]:
    """Return the paths of the pages and of the routes that they read."""
    items = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 200}
    absent = {code: ERRORS[code] for code in ("404", "503")}
    return {
        "/": {
            "get": text_operation(
                "storefront",
                "The storefront page; open on this machine only, as the routes that it reads.",
                HTML,
                absent,
            )
        },
        "/docs": {"get": text_operation("docs", "This document as a page.", HTML)},
        "/storefront/status": {
            "get": json_operation(
                "storefront_status",
                "The champion, and monitoring's verdict.",
                StatusAnswer,
                ERRORS,
            )
        },
        "/storefront/items": {
            "get": json_operation(
                "storefront_items",
                "Details of products; unknown ids are left out.",
                ProductsAnswer,
                ERRORS,
                parameters=[
                    build_parameter("id", "query", items, "Item ids, as ?id=…&id=…", required=True)
                ],
            )
        },
        "/storefront/shoppers": {
            "get": json_operation(
                "storefront_shoppers",
                "Shoppers to choose from.",
                ShoppersAnswer,
                ERRORS,
                parameters=[
                    build_parameter(
                        "query",
                        "query",
                        ID_PREFIX,
                        "The beginning of the id; a varied selection if absent.",
                    )
                ],
            )
        },
        "/storefront/shoppers/{user_id}": {
            "get": json_operation(
                "storefront_shopper",
                "A shopper's last baskets, cart and recently viewed items.",
                ShopperAnswer,
                ERRORS,
                parameters=[build_parameter("user_id", "path", ID, required=True)],
            )
        },
    }

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
    "404": "Not shown: serving.storefront is false, or the request is from elsewhere.",
    "414": "The path and query are too long.",
    "422": "The query is not as described here.",
    "503": "Not now: try again after the seconds in Retry-After.",
}
ID = {"type": "string", "maxLength": ID_LENGTH, "pattern": ID_PATTERN}
# The beginning of an id; of none, all are meant.
START = {"type": "string", "maxLength": ID_LENGTH, "pattern": f"^$|{ID_PATTERN[:-1]} *$"}


def storefront_paths() -> dict[str, Any]:
    """Return the paths of the pages and of what they read."""
    items = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 200}
    absent = {code: ERRORS[code] for code in ("404", "503")}
    return {
        "/": {
            "get": text_operation(
                "storefront",
                "The storefront page; like all it reads, on this machine only.",
                HTML,
                absent,
            )
        },
        "/docs": {"get": text_operation("docs", "This document, to read.", HTML)},
        "/storefront/status": {
            "get": json_operation(
                "storefront_status",
                "The model that answers, and monitoring's verdict.",
                StatusAnswer,
                ERRORS,
            )
        },
        "/storefront/items": {
            "get": json_operation(
                "storefront_items",
                "What is shown of products; unknown ones are left out.",
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
                        "query", "query", START, "How the id begins; some of every kind if absent."
                    )
                ],
            )
        },
        "/storefront/shoppers/{user_id}": {
            "get": json_operation(
                "storefront_shopper",
                "What is known of a shopper: the last baskets, the cart, what was just looked at.",
                ShopperAnswer,
                ERRORS,
                parameters=[build_parameter("user_id", "path", ID, required=True)],
            )
        },
    }

"""The OpenAPI 3.1 document of our routes, made from the payload models."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from pipeline.contracts.params import ServingParams
from pipeline.serving.api.examples import with_examples
from pipeline.serving.api.idempotency import HEADER
from pipeline.serving.engine.batch import BatchAnswer, BatchRequest
from pipeline.serving.engine.similar import SimilarAnswer
from pipeline.serving.explanations.explanation_log import ExplainAnswer
from pipeline.serving.openapi_parts import SCHEMAS, operation, parameter, plain, reference
from pipeline.serving.payloads import (
    MAXIMUM_EVENTS,
    ErrorAnswer,
    Event,
    EventsAnswer,
    RecommendAnswer,
    RecommendRequest,
)
from pipeline.serving.reranking.availability import (
    MAXIMUM_CHANGES,
    AvailabilityAnswer,
    ItemAvailability,
)
from pipeline.serving.storefront import openapi as storefront

PROBES = {
    "healthz": "The process lives.",
    "readyz": "The model is loaded.",
    "metrics": "Prometheus metrics.",
}
ERRORS = {
    "413": "The body is too large.",
    "422": "The body is not as described here.",
    "503": "Not now: try again after the seconds in Retry-After.",
}
QUESTION_ERRORS = {
    "404": "Nothing is known by that id.",
    "414": "The path is too long.",
    "422": ERRORS["422"],
    "503": ERRORS["503"],
}
IDEMPOTENCY_KEY = parameter(
    HEADER,
    "header",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "A random text. When no answer came, send the same again with the same key: events without an "
    "event_id then count once too.",
)
ID = {"type": "string", "minLength": 1, "maxLength": 128}
MODELS: tuple[type[BaseModel], ...] = (
    RecommendRequest,
    RecommendAnswer,
    Event,
    EventsAnswer,
    BatchRequest,
    BatchAnswer,
    SimilarAnswer,
    ExplainAnswer,
    ItemAvailability,
    AvailabilityAnswer,
    ErrorAnswer,
    *storefront.MODELS,
)


def document(params: ServingParams) -> dict[str, Any]:
    """Return the document, with the limits of params.yaml in it."""
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "Evergreen",
            "version": "1",
            "description": "The products of a shopper's next basket.",
        },
        "paths": {
            **_shown(params),
            **_told(),
            **{
                f"/{name}": {"get": plain(name, text, "text/plain")}
                for name, text in PROBES.items()
            },
            **storefront.storefront_paths(),
        },
        "components": {"schemas": _schemas(params)},
    }
    return with_examples(described)


def _schemas(params: ServingParams) -> dict[str, Any]:
    _, found = models_json_schema(
        [(model, "validation") for model in MODELS], ref_template=SCHEMAS + "{model}"
    )
    schemas: dict[str, Any] = found["$defs"]
    for name in ("RecommendRequest", "BatchRequest"):
        for branch in schemas[name]["properties"]["k"]["anyOf"]:
            if branch.get("type") == "integer":
                branch["maximum"] = params.maximum_k
    return schemas


def _shown(params: ServingParams) -> dict[str, Any]:
    """Return the routes that say what to show, and why."""
    number = {"type": "integer", "minimum": 1, "maximum": params.maximum_k}
    size = parameter("k", "query", number, "How many items; serving.default_k if absent.")
    return {
        "/recommend": {
            "post": operation(
                "recommend",
                "Recommend items to one shopper.",
                RecommendAnswer,
                ERRORS,
                body=reference(RecommendRequest),
            )
        },
        "/recommend_batch": {
            "post": operation(
                "recommend_batch",
                "Recommend items to up to a thousand shoppers; the answer comes in parts.",
                BatchAnswer,
                ERRORS,
                body=reference(BatchRequest),
            )
        },
        "/similar/{item_id}": {
            "get": operation(
                "similar",
                "Items that are bought together with one.",
                SimilarAnswer,
                QUESTION_ERRORS,
                parameters=[parameter("item_id", "path", ID, required=True), size],
            )
        },
        "/explain/{request_id}": {
            "get": operation(
                "explain",
                "What was shown in answer to a request, and why, as it was logged.",
                ExplainAnswer,
                QUESTION_ERRORS,
                parameters=[parameter("request_id", "path", ID, required=True)],
            )
        },
    }


def _told() -> dict[str, Any]:
    """Return the routes by which the shop tells what happened."""
    return {
        "/events": {
            "post": operation(
                "append_events",
                "Store events; the next recommendation sees them.",
                EventsAnswer,
                ERRORS,
                status="201",
                body=_one_or_more(Event, MAXIMUM_EVENTS),
                parameters=[IDEMPOTENCY_KEY],
            )
        },
        "/availability": {
            "post": operation(
                "set_availability",
                "Say which items can be bought; the others are never recommended.",
                AvailabilityAnswer,
                ERRORS,
                body=_one_or_more(ItemAvailability, MAXIMUM_CHANGES),
            )
        },
    }


def _one_or_more(model: type[BaseModel], maximum: int) -> dict[str, Any]:
    one = reference(model)
    return {"oneOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": maximum}]}

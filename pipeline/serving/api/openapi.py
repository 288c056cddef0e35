"""The OpenAPI 3.1 document of the routes, built from the payload models."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from pipeline.contracts.params import ServingParams
from pipeline.serving.api.examples import add_examples
from pipeline.serving.api.idempotency import HEADER
from pipeline.serving.engine.batch import BatchAnswer, BatchRequest
from pipeline.serving.engine.similar import SimilarAnswer
from pipeline.serving.explanations.explanation_log import ExplainAnswer
from pipeline.serving.openapi_parts import (
    SCHEMAS,
    build_parameter,
    json_operation,
    schema_reference,
    text_operation,
)
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
    "healthz": "The process is alive.",
    "readyz": "The model is loaded.",
    "metrics": "Prometheus metrics.",
}
ERRORS = {
    "413": "The body is too large.",
    "422": "The body is not valid.",
    "503": "Busy or starting: try again after the seconds in Retry-After.",
}
QUERY_ERRORS = {
    "404": "The id is unknown.",
    "414": "The path is too long.",
    "422": ERRORS["422"],
    "503": ERRORS["503"],
}
IDEMPOTENCY_KEY = build_parameter(
    HEADER,
    "header",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "A random text. If no answer arrives, send the same request with the same key: events without "
    "an event_id then count once.",
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


def build_document(params: ServingParams) -> dict[str, Any]:
    """Return the document, with the limits of params.yaml."""
    contents = {
        "openapi": "3.1.0",
        "info": {
            "title": "Evergreen",
            "version": "1",
            "description": "The products of a shopper's next basket.",
        },
        "paths": {
            **_recommendation_paths(params),
            **_feedback_paths(),
            **{
                f"/{name}": {"get": text_operation(name, text, "text/plain")}
                for name, text in PROBES.items()
            },
            **storefront.build_storefront_paths(),
        },
        "components": {"schemas": _build_schemas(params)},
    }
    return add_examples(contents)


def _build_schemas(params: ServingParams) -> dict[str, Any]:
    _, definitions = models_json_schema(
        [(model, "validation") for model in MODELS], ref_template=SCHEMAS + "{model}"
    )
    schemas: dict[str, Any] = definitions["$defs"]
    for name in ("RecommendRequest", "BatchRequest"):
        for branch in schemas[name]["properties"]["k"]["anyOf"]:
            if branch.get("type") == "integer":
                branch["maximum"] = params.maximum_k
    return schemas


def _recommendation_paths(params: ServingParams) -> dict[str, Any]:
    """Return the routes that recommend and explain."""
    number = {"type": "integer", "minimum": 1, "maximum": params.maximum_k}
    size = build_parameter("k", "query", number, "How many items; serving.default_k if absent.")
    return {
        "/recommend": {
            "post": json_operation(
                "recommend",
                "Recommend items to one shopper.",
                RecommendAnswer,
                ERRORS,
                body=schema_reference(RecommendRequest),
            )
        },
        "/recommend_batch": {
            "post": json_operation(
                "recommend_batch",
                "Recommend items to up to a thousand shoppers; the answer is streamed.",
                BatchAnswer,
                ERRORS,
                body=schema_reference(BatchRequest),
            )
        },
        "/similar/{item_id}": {
            "get": json_operation(
                "similar",
                "Items that are bought together with one.",
                SimilarAnswer,
                QUERY_ERRORS,
                parameters=[build_parameter("item_id", "path", ID, required=True), size],
            )
        },
        "/explain/{request_id}": {
            "get": json_operation(
                "explain",
                "The logged items and reasons of an earlier answer.",
                ExplainAnswer,
                QUERY_ERRORS,
                parameters=[build_parameter("request_id", "path", ID, required=True)],
            )
        },
    }


def _feedback_paths() -> dict[str, Any]:
    """Return the routes that take events and availability."""
    return {
        "/events": {
            "post": json_operation(
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
            "post": json_operation(
                "set_availability",
                "Set which items are available; the others are never recommended.",
                AvailabilityAnswer,
                ERRORS,
                body=_one_or_more(ItemAvailability, MAXIMUM_CHANGES),
            )
        },
    }


def _one_or_more(model: type[BaseModel], maximum: int) -> dict[str, Any]:
    one = schema_reference(model)
    return {"oneOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": maximum}]}

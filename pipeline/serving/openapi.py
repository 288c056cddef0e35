"""The OpenAPI 3.1 document of our routes, made from the payload models."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from pipeline.params import ServingParams
from pipeline.serving.examples import with_examples
from pipeline.shelf.availability import MAXIMUM_CHANGES, AvailabilityAnswer, ItemAvailability
from pipeline.shelf.batch import BatchAnswer, BatchRequest
from pipeline.shelf.explaining import ExplainAnswer
from pipeline.shelf.idempotency import HEADER
from pipeline.shelf.payloads import (
    MAXIMUM_EVENTS,
    ErrorAnswer,
    Event,
    EventsAnswer,
    RecommendAnswer,
    RecommendRequest,
)
from pipeline.shelf.similar import SimilarAnswer
from pipeline.storefront.openapi import MODELS, storefront_paths

JSON = "application/json"
SCHEMAS = "#/components/schemas/"
ERRORS = {
    "413": "The body is too large.",
    "422": "The body is not what was wanted.",
    "503": "Not now: try again after the seconds in Retry-After.",
}
QUESTION_ERRORS = {
    "404": "Nothing is known by that id.",
    "414": "The path is too long.",
    "422": ERRORS["422"],
    "503": ERRORS["503"],
}
IDEMPOTENCY_KEY = {
    "name": HEADER,
    "in": "header",
    "description": "A random text. When no answer came, send the same again with the same key: "
    "events without an event_id then count once too.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def document(params: ServingParams) -> dict[str, Any]:
    """Return the document, with the limits of params.yaml in it."""
    models: list[type[BaseModel]] = [
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
        *MODELS,
    ]
    _, found = models_json_schema(
        [(model, "validation") for model in models], ref_template=SCHEMAS + "{model}"
    )
    schemas = found["$defs"]
    for name in ("RecommendRequest", "BatchRequest"):
        for branch in schemas[name]["properties"]["k"]["anyOf"]:
            if branch.get("type") == "integer":
                branch["maximum"] = params.maximum_k
    event = {"$ref": SCHEMAS + "Event"}
    events = {"type": "array", "items": event, "minItems": 1, "maxItems": MAXIMUM_EVENTS}
    change = {"$ref": SCHEMAS + "ItemAvailability"}
    changes = {"type": "array", "items": change, "minItems": 1, "maxItems": MAXIMUM_CHANGES}
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "Evergreen",
            "version": "1",
            "description": "The products of a shopper's next basket.",
        },
        "paths": {
            "/recommend": {
                "post": _operation(
                    "recommend",
                    "Recommend items to one shopper.",
                    body={"$ref": SCHEMAS + "RecommendRequest"},
                    answer=RecommendAnswer,
                    status="200",
                )
            },
            "/events": {
                "post": _operation(
                    "append_events",
                    "Store events; the next recommendation sees them.",
                    body={"oneOf": [event, events]},
                    answer=EventsAnswer,
                    status="201",
                )
                | {"parameters": [IDEMPOTENCY_KEY]}
            },
            "/recommend_batch": {
                "post": _operation(
                    "recommend_batch",
                    "Recommend items to up to a thousand shoppers; the answer comes in parts.",
                    body={"$ref": SCHEMAS + "BatchRequest"},
                    answer=BatchAnswer,
                    status="200",
                )
            },
            "/similar/{item_id}": {
                "get": _question(
                    "similar",
                    "Items that are bought together with one.",
                    parameters=[_path("item_id"), _size(params.maximum_k)],
                    answer=SimilarAnswer,
                )
            },
            "/explain/{request_id}": {
                "get": _question(
                    "explain",
                    "What was shown in answer to a request, and why, as it was logged.",
                    parameters=[_path("request_id")],
                    answer=ExplainAnswer,
                )
            },
            "/availability": {
                "post": _operation(
                    "set_availability",
                    "Say which items can be bought; the others are never recommended.",
                    body={"oneOf": [change, changes]},
                    answer=AvailabilityAnswer,
                    status="200",
                )
            },
            "/healthz": _probe("healthz", "The process lives."),
            "/readyz": _probe("readyz", "The model is loaded."),
            "/metrics": _probe("metrics", "Prometheus metrics."),
            **storefront_paths(),
        },
        "components": {"schemas": schemas},
    }
    return with_examples(described)


def _operation(
    name: str,
    summary: str,
    *,
    answer: type[BaseModel],
    body: dict[str, Any],
    status: str,
) -> dict[str, Any]:
    return {
        **_described(name, summary, answer, status, ERRORS),
        "requestBody": {"required": True, "content": {JSON: {"schema": body}}},
    }


def _question(
    name: str, summary: str, *, answer: type[BaseModel], parameters: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        **_described(name, summary, answer, "200", QUESTION_ERRORS),
        "parameters": parameters,
    }


def _described(
    name: str, summary: str, answer: type[BaseModel], status: str, errors: dict[str, str]
) -> dict[str, Any]:
    """Return what every operation with a JSON answer says."""
    error = {JSON: {"schema": {"$ref": SCHEMAS + "ErrorAnswer"}}}
    done = {JSON: {"schema": {"$ref": SCHEMAS + answer.__name__}}}
    return {
        "operationId": name,
        "summary": summary,
        "responses": {
            status: {"description": "Done.", "content": done},
            **{code: {"description": text, "content": error} for code, text in errors.items()},
        },
    }


def _path(name: str) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": 128}
    return {"name": name, "in": "path", "required": True, "schema": text}


def _size(maximum: int) -> dict[str, Any]:
    number = {"type": "integer", "minimum": 1, "maximum": maximum}
    text = "How many items; serving.default_k if absent."
    return {"name": "k", "in": "query", "required": False, "schema": number, "description": text}


def _probe(name: str, summary: str) -> dict[str, Any]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    responses = {"200": {"description": "Yes.", "content": text}}
    return {"get": {"operationId": name, "summary": summary, "responses": responses}}

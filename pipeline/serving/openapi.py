"""The OpenAPI 3.1 document of our routes, made from the payload models."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from pipeline.params import ServingParams
from pipeline.shelf.idempotency import HEADER
from pipeline.shelf.payloads import (
    MAXIMUM_EVENTS,
    ErrorAnswer,
    Event,
    EventsAnswer,
    RecommendAnswer,
    RecommendRequest,
)

JSON = "application/json"
SCHEMAS = "#/components/schemas/"
ERRORS = {
    "413": "The body is too large.",
    "422": "The body is not what was wanted.",
    "503": "Not now: try again after the seconds in Retry-After.",
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
        ErrorAnswer,
    ]
    _, found = models_json_schema(
        [(model, "validation") for model in models], ref_template=SCHEMAS + "{model}"
    )
    schemas = found["$defs"]
    for branch in schemas["RecommendRequest"]["properties"]["k"]["anyOf"]:
        if branch.get("type") == "integer":
            branch["maximum"] = params.maximum_k
    event = {"$ref": SCHEMAS + "Event"}
    events = {"type": "array", "items": event, "minItems": 1, "maxItems": MAXIMUM_EVENTS}
    return {
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
            "/healthz": _probe("healthz", "The process lives."),
            "/readyz": _probe("readyz", "The model is loaded."),
            "/metrics": _probe("metrics", "Prometheus metrics."),
        },
        "components": {"schemas": schemas},
    }


def _operation(
    name: str, summary: str, *, body: dict[str, Any], answer: type[BaseModel], status: str
) -> dict[str, Any]:
    error = {JSON: {"schema": {"$ref": SCHEMAS + "ErrorAnswer"}}}
    done = {JSON: {"schema": {"$ref": SCHEMAS + answer.__name__}}}
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": {JSON: {"schema": body}}},
        "responses": {
            status: {"description": "Done.", "content": done},
            **{code: {"description": text, "content": error} for code, text in ERRORS.items()},
        },
    }


def _probe(name: str, summary: str) -> dict[str, Any]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    responses = {"200": {"description": "Yes.", "content": text}}
    return {"get": {"operationId": name, "summary": summary, "responses": responses}}

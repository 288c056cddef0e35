"""Builders for parts of an OpenAPI 3.1 document."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

JSON = "application/json"
SCHEMAS = "#/components/schemas/"


def schema_reference(model: type[BaseModel] | str) -> dict[str, Any]:
    """Return a reference to a model's schema.

    >>> schema_reference("Event")
    {'$ref': '#/components/schemas/Event'}
    """
    return {"$ref": SCHEMAS + (model if isinstance(model, str) else model.__name__)}


def json_content(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a JSON body."""
    return {JSON: {"schema": schema}}


def json_operation(  # noqa: PLR0913  the parts of an operation
    name: str,
    summary: str,
    answer: type[BaseModel],
    errors: Mapping[str, str],
    *,
    status: str = "200",
    body: dict[str, Any] | None = None,
    parameters: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return an operation with a JSON answer.

    Args:
        name: Operation id.
        summary: One sentence.
        answer: Model of the success response.
        errors: Descriptions by error status.
        status: Status of the success response.
        body: Schema of the request body; None without one.
        parameters: Path, query and header parameters.
    """
    operation = _build_operation(
        name, summary, json_content(schema_reference(answer)), errors, status=status
    )
    if body is not None:
        operation["requestBody"] = {"required": True, "content": json_content(body)}
    if parameters:
        operation["parameters"] = list(parameters)
    return operation


def build_parameter(
    name: str,
    location: str,
    schema: dict[str, Any],
    description: str = "",
    *,
    required: bool = False,
) -> dict[str, Any]:
    """Return a parameter; `location` is path, query or header."""
    described: dict[str, Any] = {
        "name": name,
        "in": location,
        "required": required,
        "schema": schema,
    }
    return {**described, "description": description} if description else described


def text_operation(
    name: str, summary: str, kind: str, errors: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return an operation with a text answer of the media type `kind`."""
    return _build_operation(name, summary, {kind: {"schema": {"type": "string"}}}, errors or {})


def _build_operation(
    name: str,
    summary: str,
    content: dict[str, Any],
    errors: Mapping[str, str],
    *,
    status: str = "200",
) -> dict[str, Any]:
    error = json_content(schema_reference("ErrorAnswer"))
    responses = {status: {"description": "Success.", "content": content}}
    for code, text in errors.items():
        responses[code] = {"description": text, "content": error}
    return {"operationId": name, "summary": summary, "responses": responses}

"""Parts of an OpenAPI 3.1 document, for every room that has routes."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

JSON = "application/json"
SCHEMAS = "#/components/schemas/"


def reference(model: type[BaseModel] | str) -> dict[str, Any]:
    """Return a pointer to a model's schema.

    >>> reference("Event")
    {'$ref': '#/components/schemas/Event'}
    """
    return {"$ref": SCHEMAS + (model if isinstance(model, str) else model.__name__)}


def in_json(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a JSON body of that schema."""
    return {JSON: {"schema": schema}}


def operation(  # noqa: PLR0913  the parts of an operation
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
        name: Its id.
        summary: A sentence.
        answer: What comes when it is done.
        errors: What each other status means.
        status: When it is done.
        body: The schema of what is sent.
        parameters: In the path, the query or the headers.
    """
    found = _described(name, summary, in_json(reference(answer)), errors, status=status)
    if body is not None:
        found["requestBody"] = {"required": True, "content": in_json(body)}
    if parameters:
        found["parameters"] = list(parameters)
    return found


def parameter(
    name: str, place: str, schema: dict[str, Any], description: str = "", *, required: bool = False
) -> dict[str, Any]:
    """Return a parameter; `place` is path, query or header."""
    found: dict[str, Any] = {"name": name, "in": place, "required": required, "schema": schema}
    return {**found, "description": description} if description else found


def plain(
    name: str, summary: str, kind: str, errors: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return an operation whose answer is text of the media type `kind`."""
    return _described(name, summary, {kind: {"schema": {"type": "string"}}}, errors or {})


def _described(
    name: str,
    summary: str,
    content: dict[str, Any],
    errors: Mapping[str, str],
    *,
    status: str = "200",
) -> dict[str, Any]:
    error = in_json(reference("ErrorAnswer"))
    responses = {status: {"description": "Done.", "content": content}}
    for code, text in errors.items():
        responses[code] = {"description": text, "content": error}
    return {"operationId": name, "summary": summary, "responses": responses}

"""Real questions and answers for the OpenAPI document, recorded from a shop of five products.

`examples.json` beside this file has by operation the request and the answers by status. A test
records them anew and fails when they differ; it says how to renew the file.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

PLACE = Path(__file__).with_name("examples.json")
JSON = "application/json"


@cache
def _recorded() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(PLACE.read_text(encoding="utf-8"))
    return found


def with_examples(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document, each of its operations with what was recorded of it."""
    paths = {
        path: {method: _told(operation) for method, operation in methods.items()}
        for path, methods in document["paths"].items()
    }
    return {**document, "paths": paths}


def _told(operation: dict[str, Any]) -> dict[str, Any]:
    recorded = _recorded().get(operation["operationId"])
    if recorded is None:
        return operation
    found = dict(operation)
    if "body" in recorded:
        found["requestBody"] = _shown(operation["requestBody"], recorded["body"])
    found["responses"] = {
        status: _shown(response, recorded["answers"][status])
        if status in recorded["answers"]
        else response
        for status, response in operation["responses"].items()
    }
    return found


def _shown(part: dict[str, Any], value: Any) -> dict[str, Any]:
    media = {**part["content"][JSON], "examples": {"recorded": {"value": value}}}
    return {**part, "content": {**part["content"], JSON: media}}

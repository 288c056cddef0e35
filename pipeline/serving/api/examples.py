"""Examples for the OpenAPI document: requests and answers recorded from a shop of five products.

`examples.json` beside this file holds, per operation, the request body and the answers by status.
A test records them again and fails if they differ; its message says how to update the file.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

EXAMPLES_PATH = Path(__file__).with_name("examples.json")
JSON = "application/json"


@cache
def _read_examples() -> dict[str, dict[str, Any]]:
    examples: dict[str, dict[str, Any]] = json.loads(EXAMPLES_PATH.read_text(encoding="utf-8"))
    return examples


def add_examples(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the recorded examples in its operations."""
    paths = {
        path: {method: _add_examples(operation) for method, operation in methods.items()}
        for path, methods in document["paths"].items()
    }
    return {**document, "paths": paths}


def _add_examples(operation: dict[str, Any]) -> dict[str, Any]:
    recorded = _read_examples().get(operation["operationId"])
    if recorded is None:
        return operation
    described = dict(operation)
    if "body" in recorded:
        described["requestBody"] = _add_example(operation["requestBody"], recorded["body"])
    described["responses"] = {
        status: _add_example(response, recorded["answers"][status])
        if status in recorded["answers"]
        else response
        for status, response in operation["responses"].items()
    }
    return described


def _add_example(part: dict[str, Any], value: Any) -> dict[str, Any]:
    media = {**part["content"][JSON], "examples": {"recorded": {"value": value}}}
    return {**part, "content": {**part["content"], JSON: media}}

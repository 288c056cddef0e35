"""The OpenAPI document has every route, and its examples are real answers."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from starlette.routing import Route

from pipeline.serving.api.app import build_app
from pipeline.serving.api.examples import EXAMPLES_PATH, JSON
from pipeline.serving.api.openapi import build_document
from tests.support.fake_bundle import serving_params
from tests.support.recorded import record

DOCUMENT = build_document(serving_params())
OPERATIONS = [
    (path, method, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
# Routes for operators are documented in docs/security.md.
UNDOCUMENTED = {"/docs.json", "/assets/{version}/{name}", "/admin/model", "/admin/keys/reload"}


def test_the_recorded_answers_are_up_to_date(tmp_path: Path) -> None:
    recorded = json.loads(EXAMPLES_PATH.read_text(encoding="utf-8"))
    assert record(tmp_path) == recorded, "update them: python -m tests.support.recorded"


def test_every_route_is_in_the_document() -> None:
    routes = {
        (route.path.replace(":path", ""), method.lower())
        for route in build_app().routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    documented = {(path, method) for path, method, _ in OPERATIONS}
    assert {pair for pair in routes if pair[0] not in UNDOCUMENTED} == documented


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_json_answer_has_a_real_example(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    if "requestBody" in operation:
        assert "examples" in operation["requestBody"]["content"][JSON]
    for status, response in operation["responses"].items():
        if status < "300" and JSON in response["content"]:
            assert "examples" in response["content"][JSON], (
                "add it to CALLS in tests/support/recorded.py"
            )


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_example_fits_its_schema(path: str, method: str, operation: dict[str, Any]) -> None:
    parts = [operation["requestBody"]] if "requestBody" in operation else []
    parts.extend(operation["responses"].values())
    for part in parts:
        content = part["content"].get(JSON, {})
        for example in content.get("examples", {}).values():
            schema = {**content["schema"], "components": DOCUMENT["components"]}
            jsonschema.Draft202012Validator(schema).validate(example["value"])

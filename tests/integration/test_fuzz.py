"""The endpoint answers requests that its OpenAPI document allows, and refuses others."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import schemathesis

from benchmarks.serving.fuzz import DOCUMENT, Existing, answered, fuzz, numbers_of
from tests.support.fake_bundle import ITEMS
from tests.support.fake_service import fake_service


@pytest.mark.slow
def test_generated_requests_are_answered_as_documented(tmp_path: Path) -> None:
    service = fake_service(tmp_path)
    users = ("ann", "bob")
    existing = Existing(ITEMS, users, answered(service.http(), users))
    report = fuzz(schemathesis.openapi.from_asgi(DOCUMENT, service.local), 300, existing)
    service.close()
    numbers = numbers_of(report, "a service in memory")
    assert report.n_cases >= 300
    assert report.n_5xx == 0
    assert not report.failures
    assert numbers["switched_off"] == 0
    counts = numbers["by_route"]
    assert all(routes.get("valid, answered", 0) > 0 for routes in counts.values()), counts
    assert all(
        routes.get("invalid, refused", 0) > 0
        for route, routes in counts.items()
        if route.startswith("POST")
    ), counts
    assert numbers["valid_answered"] > 0.3 * report.n_cases
    outcomes = ("valid_answered", "invalid_answered", "refused", "unknown_ids", "switched_off")
    assert sum(numbers[name] for name in outcomes) == report.n_cases


def test_existing_ids_replace_generated_ones() -> None:
    case = SimpleNamespace(
        path_parameters={"item_id": "x"},
        query={"k": 3, "id": ["x", "y"]},
        body={"user_id": "x", "cart": ["x"], "k": 5, "at": "2017-12-04"},
    )
    Existing(("tea", "jam"), ("ann",), ("r1",)).put_into(case, 0)
    assert case.path_parameters == {"item_id": "tea"}
    assert case.query == {"k": 3, "id": ["tea", "jam"]}
    assert case.body == {"user_id": "ann", "cart": ["tea"], "k": 5, "at": "2017-12-04"}

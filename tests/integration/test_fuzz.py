"""The endpoint answers whatever its document allows, and refuses whatever it does not."""

from pathlib import Path

import pytest

from benchmarks.fuzz import fuzz
from tests.fake_service import fake_service


@pytest.mark.slow
def test_requests_made_from_the_document_are_answered_as_it_says(tmp_path: Path) -> None:
    service = fake_service(tmp_path)
    found = fuzz(service.local, 200)
    service.close()
    assert found.n_cases >= 200
    assert found.n_5xx == 0
    assert not found.failures
    kinds = {(kind, status) for route, kind, status in found.statuses if route.startswith("POST")}
    assert {("positive", 200), ("positive", 201), ("negative", 422)} <= kinds

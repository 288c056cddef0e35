"""After an event, the cached answer is refreshed before the next request."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_service import FakeService, fake_service

EVENT = {"user_id": "ann", "item_id": "tea", "event_type": "view"}
ASK = {"user_id": "ann"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FakeService]:
    service = fake_service(tmp_path, keep_minutes=10)
    yield service
    service.close()


def n_calls(service: FakeService, at_least: int = 0) -> int:
    """Return the number of model calls; wait up to 5 s for `at_least` calls."""
    calls = service.bundle.recommender.requests
    until = time.monotonic() + 5
    while len(calls) < at_least and time.monotonic() < until:
        time.sleep(0.01)
    return len(calls)


def test_the_page_after_a_click_does_not_wait_for_the_model(service: FakeService) -> None:
    http = service.http()
    assert http.post("/recommend", json=ASK).status_code == 200
    before = n_calls(service)
    assert http.post("/events", json=EVENT).status_code == 201
    assert n_calls(service, before + 1) == before + 1
    answer = http.post("/recommend", json=ASK).json()
    assert n_calls(service) == before + 1
    assert "tea" in {item["item_id"] for item in answer["items"]}


def test_no_answer_is_computed_for_a_user_without_a_cached_one(service: FakeService) -> None:
    before = n_calls(service)
    assert service.http().post("/events", json=EVENT).status_code == 201
    service.backend._model.shutdown()  # wait for pending refreshes
    assert n_calls(service) == before


def test_a_failed_refresh_is_logged_and_the_next_request_reports_the_error(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    http = service.http()
    http.post("/recommend", json=ASK)

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError

    monkeypatch.setattr(service.bundle.recommender, "rank_explained", broken)
    with caplog.at_level(logging.ERROR, "evergreen.serving"):
        assert http.post("/events", json=EVENT).status_code == 201
        assert http.post("/recommend", json=ASK).status_code == 500
        service.backend._model.shutdown()
    assert "Cached answers could not be refreshed" in caplog.text


def test_an_event_is_acknowledged_while_the_service_stops(service: FakeService) -> None:
    service.backend._model.shutdown()
    assert service.http().post("/events", json=EVENT).json() == {"accepted": 1, "duplicates": 0}

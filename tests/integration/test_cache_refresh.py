"""After an event the next answer is made ready before anybody asks for it."""

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


def n_asked(service: FakeService, at_least: int = 0) -> int:
    """Return how often the model was asked; wait a moment for what it does on the side."""
    asked = service.bundle.recommender.requests
    until = time.monotonic() + 5
    while len(asked) < at_least and time.monotonic() < until:
        time.sleep(0.01)
    return len(asked)


def test_the_page_after_a_click_does_not_wait_for_the_model(service: FakeService) -> None:
    http = service.http()
    assert http.post("/recommend", json=ASK).status_code == 200
    before = n_asked(service)
    assert http.post("/events", json=EVENT).status_code == 201
    assert n_asked(service, before + 1) == before + 1
    answer = http.post("/recommend", json=ASK).json()
    assert n_asked(service) == before + 1
    assert "tea" in {item["item_id"] for item in answer["items"]}


def test_nothing_is_made_ready_for_whom_nobody_asked_about(service: FakeService) -> None:
    before = n_asked(service)
    assert service.http().post("/events", json=EVENT).status_code == 201
    service.backend._model.shutdown()  # whatever it did is done
    assert n_asked(service) == before


def test_a_failure_on_the_side_is_logged_and_told_to_who_asks_next(
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
    assert "Answers could not be prepared" in caplog.text


def test_an_event_is_acknowledged_while_the_service_ends(service: FakeService) -> None:
    service.backend._model.shutdown()
    assert service.http().post("/events", json=EVENT).json() == {"accepted": 1, "duplicates": 0}

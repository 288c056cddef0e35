"""The client: retries, pauses and event ids."""

import httpx
import pytest

from pipeline.serving import client as module
from pipeline.serving.client import Client, ServiceError, assign_event_ids, pause_seconds
from pipeline.serving.payloads import Event, RecommendRequest

EMPTY = {"request_id": "r", "model_version": "v", "items": []}
ASK = RecommendRequest(user_id="ann")


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Requested pauses, without waiting."""
    requested: list[float] = []
    monkeypatch.setattr(module.time, "sleep", requested.append)
    return requested


def make_client(*answers: httpx.Response, attempts: int = 5) -> Client:
    waiting = list(answers)
    transport = httpx.MockTransport(lambda _: waiting.pop(0))
    return Client("http://x", attempts=attempts, transport=transport)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_service_is_retried(status: int, pauses: list[float]) -> None:
    with make_client(httpx.Response(status), httpx.Response(200, json=EMPTY)) as client:
        assert client.recommend(ASK).request_id == "r"
    assert len(pauses) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 500])
def test_a_refusal_is_not_retried(status: int, pauses: list[float]) -> None:
    with make_client(httpx.Response(status)) as client, pytest.raises(ServiceError) as caught:
        client.recommend(ASK)
    assert (caught.value.status, pauses) == (status, [])


def test_the_error_is_that_of_the_last_attempt(pauses: list[float]) -> None:
    busy = [httpx.Response(503), httpx.Response(503)]
    with make_client(*busy, attempts=2) as client, pytest.raises(ServiceError) as caught:
        client.recommend(ASK)
    assert (caught.value.status, len(pauses)) == (503, 1)


@pytest.mark.parametrize(
    ("attempt", "retry_after", "least", "most"),
    [(1, "", 0.05, 0.1), (2, "", 0.1, 0.2), (4, "", 0.4, 0.8), (1, "2", 2.05, 2.1),
     (9, "", 5, 5), (1, "60", 5, 5), (1, "Wed, 21 Oct 2026 07:28:00 GMT", 0.05, 0.1)],
)  # fmt: skip
def test_pauses_grow_respect_retry_after_and_are_limited(
    attempt: int, retry_after: str, least: float, most: float
) -> None:
    pauses = [pause_seconds(attempt, retry_after) for _ in range(200)]
    assert all(least <= pause <= most for pause in pauses)


def test_clients_that_were_refused_together_do_not_return_together() -> None:
    assert len({pause_seconds(1, "1") for _ in range(50)}) > 40


def test_events_keep_their_ids_and_get_missing_ones() -> None:
    events = [
        Event(user_id="ann", item_id="tea", event_type="view", event_id="mine"),
        Event(user_id="ann", item_id="jam", event_type="view"),
        Event(user_id="ann", item_id="jam", event_type="view"),
    ]
    identified = assign_event_ids(events)
    assert identified[0].event_id == "mine"
    assert len({event.event_id for event in identified}) == 3
    assert assign_event_ids(identified) == identified


def test_the_key_is_sent_with_every_request() -> None:
    headers: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        headers.append(request.headers.get("Authorization"))
        return httpx.Response(200, json=EMPTY)

    for key in ("secret", None):
        with Client("http://x", key=key, transport=httpx.MockTransport(answer)) as client:
            client.recommend(ASK)
    assert headers == ["Bearer secret", None]

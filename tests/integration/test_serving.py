"""The routes from body to answer, with a recommender without TensorFlow."""

import gzip
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.contracts.errors import RequestError
from pipeline.event_store.store import EventStore
from pipeline.serving.api.app import build_app
from pipeline.serving.client import Client, ServiceError, split_bodies
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.parsing import parse_events
from pipeline.serving.payloads import Event, EventsAnswer, RecommendAnswer, RecommendRequest
from tests.support.fake_bundle import AS_OF, FakeBundle, serving_params
from tests.support.served import (
    Http,
    act,
    assert_problem,
    ids,
    open_http,
    predictions,
    recommend,
    send,
)

DAY_LATER = (AS_OF + timedelta(days=1)).isoformat()


def test_the_answer_has_items_with_titles_ranks_slots_and_reasons(http: Http) -> None:
    answer = recommend(http, k=2, explore_slots=1, at=AS_OF.isoformat()).json()
    assert answer["model_version"] == "0123456789ab"
    assert answer["items"] == [
        {
            "item_id": "milk",
            "title": "Milk",
            "rank": 1,
            "score": 3.0,
            "slot": "repeat",
            "propensity": 1.0,
            "reasons": [
                "You buy it about every 10 days: due again",
                "You bought it 3 times",
            ],
        },
        {
            "item_id": "coffee",
            "title": "Coffee",
            "rank": 2,
            "score": 0.0,
            "slot": "explore",
            "propensity": 1.0,
            "reasons": ["New to you"],
        },
    ]


def test_explain_adds_the_contributions(http: Http) -> None:
    milk, _, _, coffee, tea = recommend(http, k=5, viewed=["tea"], explain=True).json()["items"]
    assert milk["item_id"] == "milk"
    assert list(milk["contributions"].items()) == [("due", 1.8), ("frequency", 1.2)]
    assert {coffee["item_id"]: coffee, tea["item_id"]: tea}["tea"]["contributions"] == {
        "viewed": 0.5
    }
    assert_problem(recommend(http, explain="yes"), 422)


def test_an_unknown_user_gets_an_answer(http: Http) -> None:
    answer = recommend(http, "stranger", k=3)
    assert ids(answer) == ["bread", "coffee", "jam"]
    assert {item["slot"] for item in answer.json()["items"]} <= {"explore", "popular"}


def test_unknown_cart_items_are_ignored_and_known_ones_not_recommended(http: Http) -> None:
    assert ids(recommend(http, k=1, cart=["caviar"])) == ["milk"]
    assert ids(recommend(http, k=1, cart=["caviar", "milk"])) == ["bread"]


def test_more_items_than_the_catalogue_yields_the_catalogue(http: Http) -> None:
    assert len(ids(recommend(http, k=100))) == 5


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\x00\xff",
        b'{"user_id": "ann", "k": 0}',
        b'{"user_id": "ann", "k": 1000000000}',
        b'{"user_id": "ann", "k": "ten"}',
        b'{"user_id": 1}',
        b'{"user_id": "ann", "k": 2, "explore_slots": 3}',
        b'{"user_id": "ann", "what": 1}',
        b"[" * 60_000,
        b'{"user_id": "' + b"x" * 60_000 + b'"}',
        gzip.compress(b'{"user_id": "ann"}', mtime=0),
    ],
)
@pytest.mark.parametrize("route", ["/recommend", "/events"])
def test_a_bad_body_is_a_422_that_says_what_to_do(http: Http, route: str, body: bytes) -> None:
    assert_problem(http.post(route, content=body), 422)


@pytest.mark.parametrize("route", ["/recommend", "/events"])
def test_a_body_of_ten_megabytes_is_refused_unread(http: Http, route: str) -> None:
    read = 0

    def chunks() -> Iterator[bytes]:
        nonlocal read
        for _ in range(1_000):
            read += 1
            yield b" " * 10_000

    assert_problem(http.post(route, content=b" " * 10_000_000), 413)
    assert_problem(http.post(route, content=chunks()), 413)
    assert_problem(http.post(route, content=b"{}", headers={"Content-Length": "9" * 30}), 413)


def test_a_missing_route_and_a_wrong_method_are_errors(http: Http) -> None:
    assert_problem(http.get("/nowhere"), 404)
    assert_problem(http.get("/recommend"), 405)


def test_the_service_is_not_ready_before_the_model_is_loaded() -> None:
    http = open_http(build_app())
    for answer in (http.get("/readyz"), http.post("/recommend", json={"user_id": "ann"})):
        assert_problem(answer, 503)
        assert answer.headers["Retry-After"] == "1"
    assert http.get("/healthz").status_code == 200


def test_an_unexpected_error_shows_no_details(
    http: Http, bundle: FakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("secret")

    monkeypatch.setattr(bundle.recommender, "rank_explained", broken)
    answer = recommend(http)
    assert_problem(answer, 500)
    assert "secret" not in answer.text


def test_a_cart_a_view_and_a_purchase_change_the_next_answer(http: Http) -> None:
    assert ids(recommend(http, k=5)) == ["milk", "bread", "jam", "coffee", "tea"]
    assert send(http, act("view", "tea")).json() == {"accepted": 1, "duplicates": 0}
    assert ids(recommend(http, k=5)) == ["milk", "bread", "jam", "tea", "coffee"]
    send(http, act("cart", "milk"))
    assert "milk" not in ids(recommend(http, k=5))
    send(http, act("purchase", "milk"), act("purchase", "tea", basket_id="b"))
    assert ids(recommend(http, k=5)) == ["milk", "bread", "tea", "jam", "coffee"]


def test_a_request_with_at_sees_only_earlier_events(http: Http) -> None:
    send(http, act("purchase", "tea", timestamp=DAY_LATER))
    assert ids(recommend(http, k=3, at=DAY_LATER)) == ["milk", "bread", "jam"]
    later = (AS_OF + timedelta(days=1, seconds=1)).isoformat()
    assert "tea" in ids(recommend(http, k=4, at=later))
    before = datetime(2024, 2, 1, 9, tzinfo=UTC).isoformat()
    assert ids(recommend(http, k=1, at=before)) == ["bread"]


def test_events_survive_a_restart(start: Callable[..., Http]) -> None:
    first = start()
    send(first, act("purchase", "coffee", "bob"), act("purchase", "coffee", "bob"))
    assert ids(recommend(start(), "bob", k=1)) == ids(recommend(first, "bob", k=1))
    assert "coffee" in ids(recommend(start(), "bob", k=2))


def test_an_event_that_is_sent_again_counts_once(http: Http) -> None:
    event = act("purchase", "coffee", event_id="till-1")
    answer = send(http, event)
    assert answer.status_code == 201
    assert send(http, event, act("view", "tea")).json() == {"accepted": 1, "duplicates": 1}
    items = recommend(http, k=5).json()["items"]
    assert next(item["score"] for item in items if item["item_id"] == "coffee") == 1.0


def test_one_bad_event_refuses_the_whole_list(http: Http) -> None:
    assert_problem(send(http, act("view", "tea"), act("steal", "tea")), 422)
    assert ids(recommend(http, k=5))[3:] == ["coffee", "tea"]


def test_a_locked_store_answers_503_and_recommendations_go_on(http: Http, path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    refused = send(http, act("purchase", "coffee"))
    assert_problem(refused, 503)
    assert int(refused.headers["Retry-After"]) >= 1
    for _ in range(20):
        assert ids(recommend(http, k=1)) == ["milk"]
    other.rollback()
    other.close()
    assert send(http, act("purchase", "coffee")).status_code == 201


def test_every_answer_is_logged(http: Http, path: Path) -> None:
    answers = [recommend(http, "ann", k=2, at=DAY_LATER, store_id="s1").json() for _ in range(3)]
    log = {prediction.request_id: prediction for prediction in predictions(path, 3)}
    assert set(log) == {answer["request_id"] for answer in answers}
    logged = log[answers[0]["request_id"]]
    assert (logged.user_id, logged.k, logged.store_id) == ("ann", 2, "s1")
    assert logged.timestamp == AS_OF + timedelta(days=1)
    assert logged.items == [item["item_id"] for item in answers[0]["items"]]
    assert logged.scores == [item["score"] for item in answers[0]["items"]]
    assert logged.slots == [item["slot"] for item in answers[0]["items"]]


def test_predictions_that_waited_for_a_locked_store_are_logged_at_the_end(
    http: Http, path: Path
) -> None:
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(5):
        recommend(http)
    time.sleep(0.3)
    other.rollback()
    other.close()
    assert len(predictions(path, 5)) == 5


def test_metrics_count_answers_and_events(http: Http) -> None:
    recommend(http)
    send(http, act("view", "tea"))
    text = http.get("/metrics").text
    assert 'evergreen_answers_total{shopper="known"}' in text
    assert 'evergreen_events_total{event_type="view"}' in text
    assert "evergreen_answer_seconds_bucket" in text
    assert 'evergreen_model_info{name="counting",version="0123456789ab"} 1.0' in text


def test_the_document_is_served(http: Http) -> None:
    assert http.get("/docs.json").json()["openapi"] == "3.1.0"


def test_writes_that_wait_too_long_are_refused(
    start: Callable[..., Http], monkeypatch: pytest.MonkeyPatch
) -> None:
    http = start(timeout_seconds=1)
    real = RecommendationEngine.append

    def slow(self: RecommendationEngine, events: Any) -> EventsAnswer:
        time.sleep(1.3)
        return real(self, events)

    monkeypatch.setattr(RecommendationEngine, "append", slow)
    started = time.monotonic()
    assert_problem(send(http, act("view", "tea")), 503)
    assert time.monotonic() - started < 1.25
    assert ids(recommend(http, k=1)) == ["milk"]


def test_the_client_recommends_and_sends_events(client: Client) -> None:
    assert client.is_ready()
    event = Event(user_id="ann", item_id="tea", event_type="view")
    assert client.send([event, event]) == EventsAnswer(accepted=2, duplicates=0)
    answer = client.recommend(RecommendRequest(user_id="ann", k=1, explore_slots=0))
    assert isinstance(answer, RecommendAnswer)
    assert answer.items[0].item_id == "milk"
    with pytest.raises(ServiceError, match="at most 100") as caught:
        client.recommend(RecommendRequest(user_id="ann", k=1_000))
    assert caught.value.status == 422
    assert "evergreen_answers_total" in client.metrics()
    assert "/recommend" in client.docs()["paths"]


def test_the_client_retries_and_an_event_counts_once(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[bytes] = []

    def fail_twice(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        answer = http.post(request.url.path, content=request.content)
        if len(bodies) == 1:
            raise httpx.ReadTimeout("the answer was lost")
        if len(bodies) == 2:
            return httpx.Response(503, headers={"Retry-After": "0"})
        return httpx.Response(answer.status_code, content=answer.content)

    monkeypatch.setattr("pipeline.serving.client.BACK_OFF_SECONDS", 0.001)
    with Client("http://testserver", transport=httpx.MockTransport(fail_twice)) as client:
        answer = client.send([Event(user_id="ann", item_id="tea", event_type="view")])
    assert answer == EventsAnswer(accepted=0, duplicates=1)
    assert len(set(bodies)) == 1


def test_the_client_gives_up_with_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr("pipeline.serving.client.BACK_OFF_SECONDS", 0.001)
    with Client("http://x", attempts=3, transport=httpx.MockTransport(absent)) as client:
        assert not client.is_ready()
        with pytest.raises(ServiceError, match="ConnectError"):
            client.recommend(RecommendRequest(user_id="ann"))


def test_many_events_are_split_into_bodies_within_the_limits() -> None:
    events = [Event(user_id="ann", item_id=str(n), event_type="view") for n in range(2_500)]
    bodies = list(split_bodies(events))
    assert max(len(body) for body in bodies) <= 33 * 1024
    sent = [event for body in bodies for event in parse_events(body.encode())]
    assert [event.item_id for event in sent] == [event.item_id for event in events]
    assert len({event.event_id for event in sent}) == 2_500


def test_the_engine_warms_the_model_up_before_the_first_request(
    bundle: FakeBundle, http: Http
) -> None:
    assert len(bundle.recommender.requests) >= 3
    assert all(np.array_equal(batch.row_splits[:1], [0]) for batch in bundle.recommender.requests)


def test_a_request_for_too_much_never_reaches_the_model(bundle: FakeBundle, path: Path) -> None:
    params = serving_params()
    engine = RecommendationEngine(bundle, EventStore(f"sqlite:///{path}"), params)
    n_before = len(bundle.recommender.requests)
    with pytest.raises(RequestError):
        engine.recommend(RecommendRequest(user_id="ann", k=10**9))
    assert len(bundle.recommender.requests) == n_before
    engine.close()

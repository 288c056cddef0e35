"""Through HTTP: batches, similar items and explanations."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.event_store.cleaning import forget
from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SuppressionList
from pipeline.serving.client import Client, ServiceError
from pipeline.serving.engine.batch import MAXIMUM_USERS, PART_SIZE, BatchRequest
from pipeline.serving.payloads import RecommendRequest
from tests.support.fake_bundle import AS_OF, FakeBundle
from tests.support.served import Http, act, assert_problem, ids, predictions, recommend, send

AT = AS_OF.isoformat()


def batch(http: Http, user_ids: list[str], **more: Any) -> Any:
    answer = http.post("/recommend_batch", json={"user_ids": user_ids, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("n", [1, PART_SIZE - 1, PART_SIZE, PART_SIZE + 1, 3 * PART_SIZE])
def test_a_batch_answers_each_user_as_a_single_request_does(http: Http, n: int) -> None:
    send(http, act("cart", "milk"), act("view", "tea", "bob"))
    user_ids = [["ann", "bob", "eve"][number % 3] for number in range(n)]
    query = {"k": 4, "explore_slots": 1, "exclude": ["jam"], "at": None, "diversity": 0.5}
    batched = batch(http, user_ids, reasons=True, **query)
    assert batched["model_version"] == "0123456789ab"
    assert [answer["user_id"] for answer in batched["answers"]] == user_ids
    for answer in batched["answers"]:
        single = recommend(http, answer["user_id"], **query).json()
        assert answer["items"] == single["items"]


def test_a_batch_without_reasons_shows_the_same_items(http: Http) -> None:
    plain = batch(http, ["ann", "bob"], at=AT)["answers"]
    explained = batch(http, ["ann", "bob"], at=AT, reasons=True)["answers"]
    for one, other in zip(plain, explained, strict=True):
        assert [item["item_id"] for item in one["items"]] == [
            item["item_id"] for item in other["items"]
        ]
        assert all(item["reasons"] == [] for item in one["items"])
        assert all(item["reasons"] for item in other["items"])


def test_a_batch_calls_the_model_once_per_part(bundle: FakeBundle, http: Http) -> None:
    n_before = len(bundle.recommender.requests)
    batch(http, ["ann"] * (2 * PART_SIZE))
    batches = bundle.recommender.requests[n_before:]
    assert [len(requests) for requests in batches] == [PART_SIZE, PART_SIZE]


def test_a_batch_has_at_most_a_thousand_users(http: Http) -> None:
    user_ids = [f"{number:0128d}" for number in range(MAXIMUM_USERS)]
    assert len(batch(http, user_ids, k=1)["answers"]) == MAXIMUM_USERS
    assert_problem(http.post("/recommend_batch", json={"user_ids": [*user_ids, "x"]}), 422)
    assert_problem(http.post("/recommend_batch", content=b" " * 300 * 1024), 413)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_ids": []},
        {"user_ids": "ann"},
        {"user_ids": ["ann"], "k": 1_000},
        {"user_ids": ["ann"], "k": 1, "explore_slots": 2},
        {"user_ids": ["ann"], "surprise": 1},
    ],
)
def test_an_invalid_batch_is_refused(http: Http, body: Any) -> None:
    assert_problem(http.post("/recommend_batch", json=body), 422)


def test_only_a_batch_that_is_shown_is_logged(http: Http, path: Path) -> None:
    batch(http, ["ann", "bob"])
    shown = batch(http, ["ann", "bob"], shown=True)["answers"]
    logged = predictions(path, 2)
    assert {prediction.request_id for prediction in logged} == {
        answer["request_id"] for answer in shown
    }


def test_a_suppressed_user_is_anonymous_in_a_batch(start: Callable[..., Http], path: Path) -> None:
    store = EventStore(f"sqlite:///{path}")
    forget(store.database, ["ann"], SuppressionList())
    http = start()
    ann, eve = batch(http, ["ann", "eve"], shown=True)["answers"]
    assert ann["user_id"] == "ann"
    assert ann["items"] == eve["items"]
    assert {prediction.user_id for prediction in predictions(path, 1)} == {"eve"}
    store.close()


def test_a_batch_that_fails_midway_is_no_valid_json(
    bundle: FakeBundle, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bundle.recommender.rank
    calls = 0

    def second_fails(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ValueError("secret")
        return real(*args)

    monkeypatch.setattr(bundle.recommender, "rank", second_fails)
    pieces: list[bytes] = []

    async def ask() -> None:
        body = json.dumps({"user_ids": ["ann"] * (PART_SIZE + 1)}).encode()
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/recommend_batch",
            "headers": [],
            "query_string": b"",
        }
        sent = False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if sent:
                await asyncio.sleep(60)
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send_(message: Any) -> None:
            pieces.append(message.get("body", b""))

        await http._transport._transport.app(scope, receive, send_)  # type: ignore[attr-defined]

    with pytest.raises(BaseException, match="secret"):
        asyncio.run(ask())
    with pytest.raises(json.JSONDecodeError):
        json.loads(b"".join(pieces))
    assert b"secret" not in b"".join(pieces)


def test_similar_items_are_those_bought_with_it(http: Http) -> None:
    """Ann bought milk with bread twice and with jam once; one common basket is not enough."""
    similar = http.get("/similar/milk").json()
    assert (similar["item_id"], similar["title"], similar["model_version"]) == (
        "milk",
        "Milk",
        "0123456789ab",
    )
    assert [(item["item_id"], item["reason"]) for item in similar["items"]] == [
        ("bread", "Bought together 2 times")
    ]
    assert similar["items"][0]["score"] == pytest.approx(2 / 2**0.25)


def test_a_rarely_bought_item_is_similar_to_its_category(http: Http) -> None:
    items = http.get("/similar/coffee").json()["items"]
    assert [(item["item_id"], item["reason"], item["score"]) for item in items] == [
        ("tea", "Popular in hot drinks", 0.0)
    ]


def test_unavailable_items_are_not_similar(http: Http) -> None:
    http.post("/availability", json={"item_id": "bread", "available": False})
    assert http.get("/similar/milk").json()["items"] == []


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/similar/caviar", 404),
        ("/similar/", 404),
        ("/similar/a/b", 404),
        ("/similar/%00", 404),
        ("/similar/milk?k=0", 422),
        ("/similar/milk?k=many", 422),
        ("/similar/milk?k=101", 422),
        ("/similar/milk?size=3", 422),
        ("/explain/nothing", 404),
        ("/explain/", 404),
        ("/explain/%F0%9F%A5%9B", 404),
    ],
)
def test_an_unknown_id_or_invalid_query_is_an_error(http: Http, address: str, status: int) -> None:
    assert_problem(http.get(address), status)


def test_an_answer_is_explained_at_once_and_after_a_restart(
    start: Callable[..., Http], path: Path
) -> None:
    first = start()
    answer = recommend(first, k=3, explore_slots=1, at=AT, store_id="s1").json()
    address = f"/explain/{answer['request_id']}"
    expected = {
        "request_id": answer["request_id"],
        "user_id": "ann",
        "at": "2024-03-01T00:00:00Z",
        "store_id": "s1",
        "model_version": answer["model_version"],
        "items": answer["items"],
    }
    assert first.get(address).json() == expected
    predictions(path, 1)
    assert first.get(address).json() == expected
    assert start().get(address).json() == expected


def test_the_client_has_a_method_for_each_route(client: Client) -> None:
    batched = client.recommend_batch(BatchRequest(user_ids=["ann", "bob"], k=2))
    assert [answer.user_id for answer in batched.answers] == ["ann", "bob"]
    assert client.similar("milk", k=1).items[0].item_id == "bread"
    answer = client.recommend(RecommendRequest(user_id="ann", k=2))
    assert client.explain(answer.request_id).items == answer.items
    with pytest.raises(ServiceError, match="caviar") as caught:
        client.similar("caviar")
    assert caught.value.status == 404


def test_the_routes_do_not_wait_for_each_other(start: Callable[..., Http]) -> None:
    """Batches run on the background thread, single requests on another."""
    http = start()
    backend = http._transport._transport.app.state.backend  # type: ignore[attr-defined]
    names: set[str] = set()

    async def record_threads() -> None:
        import threading

        await backend.run_in_background(lambda: names.add(threading.current_thread().name))
        await backend._run_within_timeout(
            backend._model, lambda: names.add(threading.current_thread().name)
        )

    asyncio.run(record_threads())
    assert len(names) == 2
    assert ids(recommend(http, k=1)) == ["milk"]

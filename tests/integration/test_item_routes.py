"""Through HTTP: many shoppers at once, items like one, and why something was shown."""

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
def test_a_batch_answers_each_shopper_as_one_request_would(http: Http, n: int) -> None:
    send(http, act("cart", "milk"), act("view", "tea", "bob"))
    user_ids = [["ann", "bob", "eve"][at % 3] for at in range(n)]
    query = {"k": 4, "explore_slots": 1, "exclude": ["jam"], "at": None, "diversity": 0.5}
    found = batch(http, user_ids, reasons=True, **query)
    assert found["model_version"] == "0123456789ab"
    assert [answer["user_id"] for answer in found["answers"]] == user_ids
    for answer in found["answers"]:
        alone = recommend(http, answer["user_id"], **query).json()
        assert answer["items"] == alone["items"]


def test_a_batch_without_reasons_shows_the_same_items(http: Http) -> None:
    plain = batch(http, ["ann", "bob"], at=AT)["answers"]
    told = batch(http, ["ann", "bob"], at=AT, reasons=True)["answers"]
    for one, other in zip(plain, told, strict=True):
        assert [item["item_id"] for item in one["items"]] == [
            item["item_id"] for item in other["items"]
        ]
        assert all(item["reasons"] == [] for item in one["items"])
        assert all(item["reasons"] for item in other["items"])


def test_a_batch_asks_the_model_once_per_part(bundle: FakeBundle, http: Http) -> None:
    n_before = len(bundle.recommender.requests)
    batch(http, ["ann"] * (2 * PART_SIZE))
    asked = bundle.recommender.requests[n_before:]
    assert [len(each) for each in asked] == [PART_SIZE, PART_SIZE]


def test_a_thousand_shoppers_fit_into_a_batch_and_no_more(http: Http) -> None:
    user_ids = [f"{at:0128d}" for at in range(MAXIMUM_USERS)]
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
def test_a_bad_batch_is_refused_before_anything_is_answered(http: Http, body: Any) -> None:
    assert_problem(http.post("/recommend_batch", json=body), 422)


def test_only_a_batch_that_is_shown_is_logged(http: Http, path: Path) -> None:
    batch(http, ["ann", "bob"])
    shown = batch(http, ["ann", "bob"], shown=True)["answers"]
    logged = predictions(path, 2)
    assert {each.request_id for each in logged} == {each["request_id"] for each in shown}


def test_who_asked_to_be_forgotten_is_nobody_in_a_batch_too(
    start: Callable[..., Http], path: Path
) -> None:
    store = EventStore(f"sqlite:///{path}")
    forget(store.database, ["ann"], SuppressionList())
    http = start()
    ann, eve = batch(http, ["ann", "eve"], shown=True)["answers"]
    assert ann["user_id"] == "ann"
    assert ann["items"] == eve["items"]
    assert {each.user_id for each in predictions(path, 1)} == {"eve"}
    store.close()


def test_an_answer_that_fails_on_the_way_is_not_whole_json(
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


def test_items_like_one_are_those_bought_with_it(http: Http) -> None:
    """Ann bought milk with bread twice, with jam once; one basket is not enough to tell."""
    found = http.get("/similar/milk").json()
    assert (found["item_id"], found["title"], found["model_version"]) == (
        "milk",
        "Milk",
        "0123456789ab",
    )
    assert [(each["item_id"], each["reason"]) for each in found["items"]] == [
        ("bread", "Bought together 2 times")
    ]
    assert found["items"][0]["score"] == pytest.approx(2 / 2**0.25)


def test_an_item_that_was_hardly_bought_is_like_its_kind(http: Http) -> None:
    found = http.get("/similar/coffee").json()["items"]
    assert [(each["item_id"], each["reason"], each["score"]) for each in found] == [
        ("tea", "Popular in hot drinks", 0.0)
    ]


def test_what_cannot_be_bought_is_not_similar(http: Http) -> None:
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
def test_what_is_not_there_or_not_meant_is_a_problem(http: Http, address: str, status: int) -> None:
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


def test_the_client_knows_the_siblings(client: Client) -> None:
    found = client.recommend_batch(BatchRequest(user_ids=["ann", "bob"], k=2))
    assert [answer.user_id for answer in found.answers] == ["ann", "bob"]
    assert client.similar("milk", k=1).items[0].item_id == "bread"
    answer = client.recommend(RecommendRequest(user_id="ann", k=2))
    assert client.explain(answer.request_id).items == answer.items
    with pytest.raises(ServiceError, match="caviar") as caught:
        client.similar("caviar")
    assert caught.value.status == 404


def test_the_routes_do_not_wait_for_each_other(start: Callable[..., Http]) -> None:
    """A batch works on a thread of its own; the one for single requests stays free."""
    http = start()
    backend = http._transport._transport.app.state.backend  # type: ignore[attr-defined]
    names: set[str] = set()

    async def look() -> None:
        import threading

        await backend.run_in_background(lambda: names.add(threading.current_thread().name))
        await backend._within(backend._model, lambda: names.add(threading.current_thread().name))

    asyncio.run(look())
    assert len(names) == 2
    assert ids(recommend(http, k=1)) == ["milk"]

"""The endpoint while its store fails: events are refused, recommendations go on."""

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.event_store.cleaning import forget
from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SuppressionList
from pipeline.serving.engine import engine, shared_state
from tests.support.fake_bundle import AS_OF
from tests.support.postgres import Cluster
from tests.support.served import act, assert_problem, eventually, ids, recommend, send

Http = httpx.Client
NONE = SuppressionList()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service polls its store all the time."""
    seconds = {"poll_seconds": 0.02, "refresh_seconds": 0.02}
    monkeypatch.setattr(shared_state.SharedState.__init__, "__kwdefaults__", seconds)


def stored(path: Path) -> list[str]:
    store = EventStore(f"sqlite:///{path}")
    item_ids = [event.item_id for event in store.events_since(AS_OF)]
    store.close()
    return item_ids


def assert_refused_while_recommendations_go_on(http: Http) -> None:
    refused = send(http, act("purchase", "jam"))
    assert_problem(refused, 503)
    assert int(refused.headers["Retry-After"]) >= 1
    assert not any(word in refused.text for word in ("file", "full", "events.db", "sqlite"))
    assert "tea" in ids(recommend(http, k=4)), "events acknowledged before still count"


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """No file of this process may grow beyond what the journal has now."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = path.with_name("events.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_refuses_events_and_loses_none(
    http: Http, start: Callable[..., Http], path: Path
) -> None:
    assert send(http, act("purchase", "tea")).status_code == 201
    with full_disk(path):
        for _ in range(3):
            assert_refused_while_recommendations_go_on(http)
    assert send(http, act("purchase", "coffee")).status_code == 201
    assert stored(path) == ["tea", "coffee"]
    assert ids(recommend(start(), k=5)) == ["milk", "bread", "coffee", "jam", "tea"]


def test_a_missing_store_refuses_events_until_it_is_back(http: Http, path: Path) -> None:
    assert send(http, act("purchase", "tea")).status_code == 201
    moved = path.with_name("moved.db")
    path.rename(moved)
    for _ in range(3):
        assert_refused_while_recommendations_go_on(http)
    moved.rename(path)
    answers = [send(http, act("purchase", "coffee", event_id="e")) for _ in range(2)]
    assert 201 in {answer.status_code for answer in answers}
    assert stored(path) == ["tea", "coffee"]


def test_a_clock_set_back_loses_no_event_and_keeps_the_order(
    http: Http, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) - timedelta(hours=3)

    assert send(http, act("cart", "milk")).status_code == 201
    monkeypatch.setattr(engine, "datetime", Clock)
    assert send(http, act("view", "tea")).status_code == 201
    assert ids(recommend(http, k=4)) == ["bread", "jam", "tea", "coffee"]
    assert send(http, act("purchase", "milk")).status_code == 201
    assert ids(recommend(http, k=1)) == ["milk"], "it is no longer in the cart"
    assert stored(path) == ["milk", "tea", "milk"]


@pytest.mark.slow
def test_without_postgresql_events_are_refused_and_recommendations_go_on(
    start: Callable[..., Http], postgresql: Cluster
) -> None:
    url = postgresql.new_database()
    http = start(url)
    assert send(http, act("purchase", "tea", event_id="e1")).status_code == 201
    postgresql.stop()
    for _ in range(2):
        assert_refused_while_recommendations_go_on(http)
    postgresql.start()
    again = send(http, act("purchase", "tea", event_id="e1"), act("view", "coffee", event_id="e2"))
    assert again.json() == {"accepted": 1, "duplicates": 1}
    assert ids(recommend(start(url), k=5)) == ids(recommend(http, k=5))


def post(http: Http, key: str, *events: dict[str, Any]) -> httpx.Response:
    return http.post("/events", json=list(events), headers={"Idempotency-Key": key})


def test_the_same_events_under_the_same_key_count_once(
    http: Http, start: Callable[..., Http], path: Path
) -> None:
    events = [act("view", "tea"), act("view", "tea"), act("view", "jam", event_id="own")]
    assert post(http, "k1", *events).json() == {"accepted": 3, "duplicates": 0}
    assert post(http, "k1", *events).json() == {"accepted": 0, "duplicates": 3}
    assert post(start(), "k1", *events).json() == {"accepted": 0, "duplicates": 3}
    assert post(http, "k2", *events).json() == {"accepted": 2, "duplicates": 1}
    assert len(stored(path)) == 5


def test_other_events_under_the_same_key_are_not_lost(http: Http, path: Path) -> None:
    assert post(http, "k1", act("view", "tea")).json() == {"accepted": 1, "duplicates": 0}
    assert post(http, "k1", act("view", "jam")).json() == {"accepted": 1, "duplicates": 0}
    assert sorted(stored(path)) == ["jam", "tea"]


@pytest.mark.parametrize("key", ["", "a b", "\t", "x" * 256, "\xe9"])
def test_an_invalid_key_is_refused(http: Http, path: Path, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    assert_problem(http.post("/events", json=act("view", "tea"), headers=headers), 422)
    assert stored(path) == []


def test_the_running_service_forgets_users_suppressed_by_another_process(
    http: Http, path: Path
) -> None:
    send(http, act("purchase", "tea"), act("purchase", "tea", "bob"))
    assert ids(recommend(http, k=5)) == ["milk", "bread", "jam", "tea", "coffee"]
    command = EventStore(f"sqlite:///{path}", lock_seconds=10)
    assert eventually(lambda: len(command.predictions()) == 1)
    done, _ = forget(command.database, ["ann"], NONE)
    assert {deletion.table: deletion.n_removed for deletion in done} == {
        "events": 1,
        "predictions": 1,
        "shadow_answers": 0,
    }
    stranger = ids(recommend(http, "stranger", k=5))
    assert eventually(lambda: ids(recommend(http, k=5)) == stranger)
    refused = send(http, act("purchase", "tea"), act("view", "tea", "bob"))
    assert refused.json() == {"accepted": 1, "duplicates": 0}
    assert eventually(lambda: len(command.predictions(user_id="stranger")) == 1)
    assert [event.user_id for event in command.events_since(AS_OF)] == ["bob", "bob"]
    assert {prediction.user_id for prediction in command.predictions()} <= {"stranger", ""}
    command.close()


def test_the_running_service_deletes_old_events(start: Callable[..., Http], path: Path) -> None:
    first = start(retention_days=30)
    send(first, act("purchase", "tea"), act("purchase", "jam"))
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE events SET received_at = '2020-01-01 00:00:00.000000' WHERE item_id = 'tea'"
        )
    connection.close()
    start(retention_days=30)
    assert eventually(lambda: stored(path) == ["jam"])

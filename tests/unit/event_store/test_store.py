import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.event_store.store import EventStore, Prediction, StoredEvent, StoreError

NOON = datetime(2024, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def event(event_id: str, **changes: Any) -> StoredEvent:
    values: dict[str, Any] = {
        "event_id": event_id,
        "user_id": "ann",
        "item_id": "milk",
        "timestamp": NOON,
        "event_type": "purchase",
        "quantity": 2.0,
        "price": 1.5,
        "discount": 0.0,
        "basket_id": None,
        "session_id": None,
        "store_id": None,
        "source": "serving",
        "received_at": NOON,
    }
    return StoredEvent(**{**values, **changes})


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'new' / 'events.db'}"


@pytest.fixture
def store(url: str) -> Iterator[EventStore]:
    opened = EventStore(url, lock_seconds=0.05)
    yield opened
    opened.close()


def test_what_was_appended_is_there_after_a_crash(url: str) -> None:
    store = EventStore(url)
    assert store.append([event("1"), event("2")]) == [event("1"), event("2")]
    again = EventStore(url)  # the first is never closed
    assert list(again.events_since(NOON)) == [event("1"), event("2")]
    again.close()
    store.close()


def test_an_event_that_is_sent_twice_is_stored_once(store: EventStore) -> None:
    assert store.append([event("1")]) == [event("1")]
    assert store.append([event("1", quantity=9.0), event("2")]) == [event("2")]
    assert [each.quantity for each in store.events_since(NOON)] == [2.0, 2.0]


def test_of_two_with_one_id_in_one_list_the_first_is_kept(store: EventStore) -> None:
    assert store.append([event("1"), event("1", item_id="tea")]) == [event("1")]


def test_events_come_back_in_time_order_from_the_moment_on(store: EventStore) -> None:
    late, early = event("a", timestamp=NOON + timedelta(hours=1)), event("b")
    old = event("c", timestamp=NOON - timedelta(microseconds=1))
    store.append([late, early, old])
    assert list(store.events_since(NOON)) == [early, late]
    assert list(store.events_since(NOON, user_id="bob")) == []
    assert list(store.events_since(NOON, user_id="ann")) == [early, late]


def test_a_moment_in_another_zone_is_the_same_moment(store: EventStore) -> None:
    from zoneinfo import ZoneInfo

    local = NOON.astimezone(ZoneInfo("America/New_York"))
    store.append([event("1", timestamp=local)])
    assert [each.timestamp for each in store.events_since(local)] == [NOON]


def test_it_is_durable(store: EventStore, tmp_path: Path) -> None:
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_a_locked_database_is_said_and_nothing_is_written(
    store: EventStore, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "new" / "events.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.append([event("1")])
    other.rollback()
    other.close()
    assert store.append([event("1")]) == [event("1")]


def test_a_full_disk_is_said_and_nothing_is_written(store: EventStore) -> None:
    with store._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full"):
        store.append([event(str(number), item_id="x" * 128) for number in range(1_000)])
    assert list(store.events_since(NOON)) == []


@pytest.mark.parametrize("url", ["no url", "nosuch://x/y", "sqlite:////proc/nowhere/events.db"])
def test_a_store_that_cannot_be_opened_is_said(url: str) -> None:
    with pytest.raises(StoreError):
        EventStore(url)


def test_a_file_that_is_not_a_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="not a database"):
        EventStore(f"sqlite:///{tmp_path / 'events.db'}")


def test_predictions_come_back_as_logged(store: EventStore) -> None:
    prediction = Prediction(
        request_id="r1",
        user_id="ann",
        timestamp=NOON,
        store_id=None,
        k=2,
        items=["milk", "tea"],
        scores=[0.5, 0.25],
        slots=["repeat", "explore"],
        model_version="0123456789ab",
        latency_ms=1.5,
        received_at=NOON,
    )
    store.log([prediction])
    store.log([prediction])
    assert store.predictions() == [prediction]
    assert store.predictions(user_id="bob") == []

import sqlite3
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pipeline.event_store.database import ROWS_PER_STATEMENT
from pipeline.event_store.reader import EventStoreReader
from pipeline.event_store.store import EventStore, StoreError
from pipeline.event_store.tables import PREDICTIONS, CounterIncrease
from tests.support.postgres import Cluster
from tests.unit.event_store.rows import NOON, event, prediction


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
    assert [row.quantity for row in store.events_since(NOON)] == [2.0, 2.0]


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
    assert [row.timestamp for row in store.events_since(local)] == [NOON]


def test_it_is_durable(sqlite_store: EventStore) -> None:
    with sqlite_store.database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_a_locked_database_is_said_and_nothing_is_written(
    sqlite_store: EventStore, tmp_path: Path
) -> None:
    store = sqlite_store
    other = sqlite3.connect(tmp_path / "new" / "events.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.append([event("1")])
    other.rollback()
    other.close()
    assert store.append([event("1")]) == [event("1")]


def test_a_full_disk_is_said_and_nothing_is_written(sqlite_store: EventStore) -> None:
    store = sqlite_store
    with store.database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full"):
        store.append([event(str(number), item_id="x" * 128) for number in range(1_000)])
    assert list(store.events_since(NOON)) == []


@pytest.mark.parametrize(
    "url",
    ["no url", "nosuch://x/y", "sqlite://", "mysql://x/y", "sqlite:////proc/nowhere/events.db"],
)
def test_a_store_that_cannot_be_opened_is_said(url: str) -> None:
    with pytest.raises(StoreError):
        EventStore(url)


def test_a_file_that_is_not_a_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="not a database"):
        EventStore(f"sqlite:///{tmp_path / 'events.db'}")


def test_predictions_come_back_as_logged(store: EventStore) -> None:
    shown = prediction("r1")
    store.log([shown])
    store.log([shown])
    assert store.predictions() == [shown]
    assert store.predictions(user_id="bob") == []
    assert store.prediction("r1") == shown
    assert store.prediction("r2") is None


def test_the_last_word_on_an_item_says_whether_it_can_be_bought(store: EventStore) -> None:
    store.set_availability({"milk": False, "tea": False, "jam": True}, changed_at=NOON)
    assert store.unavailable() == ["milk", "tea"]
    store.set_availability({"tea": True, "jam": False}, changed_at=NOON)
    assert store.unavailable() == ["jam", "milk"]


def test_writers_at_the_same_time_store_each_event_once(url: str) -> None:
    """Six writers, each with the same 40 events in another order."""
    stores = [EventStore(url, lock_seconds=10) for _ in range(6)]
    new: list[str] = []

    def write(number: int) -> None:
        mine = [event(str(n)) for n in range(40)]
        turned = mine[number * 7 :] + mine[: number * 7]
        for first in range(0, 40, 8):
            new.extend(row.event_id for row in stores[number].append(turned[first : first + 8]))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == sorted(str(n) for n in range(40))
    assert len(list(stores[0].events_since(NOON))) == 40
    for row in stores:
        row.close()


@pytest.mark.slow
def test_after_a_restart_of_the_server_the_store_goes_on(postgresql: Cluster) -> None:
    store = EventStore(postgresql.new_database())
    store.append([event("1")])
    postgresql.stop()
    with pytest.raises(StoreError, match="written to disk"):
        store.append([event("2")])
    postgresql.start()
    assert store.append([event("1"), event("2")]) == [event("2")]
    store.close()


@pytest.mark.slow
def test_a_server_in_another_zone_keeps_the_moment(postgresql: Cluster) -> None:
    url = postgresql.new_database()
    postgresql.sql(f"ALTER DATABASE {url.rsplit('/', 1)[1]} SET timezone TO 'Asia/Kathmandu'")
    store = EventStore(url)
    store.append([event("1"), event("2", timestamp=NOON - timedelta(microseconds=1))])
    assert [row.timestamp for row in store.events_since(NOON)] == [NOON]
    store.close()


@pytest.mark.slow
def test_a_server_that_is_locked_is_said_and_nothing_is_written(postgresql: Cluster) -> None:
    url = postgresql.new_database()
    store, other = EventStore(url, lock_seconds=0.05), EventStore(url)
    with other.database.writing("a lock") as connection:
        connection.exec_driver_sql("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="lock timeout"):
            store.append([event("1")])
    assert store.append([event("1")]) == [event("1")]
    store.close()
    other.close()


def test_a_file_that_was_moved_away_acknowledges_nothing_until_it_is_back(
    sqlite_store: EventStore,
) -> None:
    file = sqlite_store.database.path
    assert file is not None
    assert len(sqlite_store.append([event("1")])) == 1
    aside = file.with_name("aside.db")
    file.rename(aside)
    for _ in range(3):
        with pytest.raises(StoreError):
            sqlite_store.append([event("2")])
    assert not file.exists()
    aside.rename(file)
    sqlite_store.append([event("2")])
    reopened = EventStore(f"sqlite:///{file}")
    assert [row.event_id for row in reopened.events_since(NOON)] == ["1", "2"]
    reopened.close()


def test_a_file_that_was_deleted_is_not_made_anew_behind_its_back(
    sqlite_store: EventStore,
) -> None:
    file = sqlite_store.database.path
    assert file is not None
    sqlite_store.append([event("1")])
    file.unlink()
    for _ in range(2):
        with pytest.raises(StoreError):
            sqlite_store.log([prediction("r1")])
    assert not file.exists()


def test_a_journal_with_a_broken_end_keeps_what_is_before_it(sqlite_url: str) -> None:
    store = EventStore(sqlite_url)
    file = store.database.path
    assert file is not None
    journal = file.with_name("events.db-wal")
    store.append([event("1")])
    whole = journal.stat().st_size
    store.append([event("2")])
    crashed = file.parent / "crashed"
    crashed.mkdir()
    torn = journal.read_bytes()
    (crashed / "events.db").write_bytes(file.read_bytes())
    (crashed / "events.db-wal").write_bytes(torn[:whole] + b"\xff" * (len(torn) - whole))
    store.close()
    again = EventStore(f"sqlite:///{crashed / 'events.db'}")
    assert [row.event_id for row in again.events_since(NOON)] == ["1"]
    assert again.append([event("2")]) == [event("2")]
    again.close()


def test_many_predictions_are_few_statements(store: EventStore) -> None:
    """Row by row, the writing thread would fall behind a busy endpoint."""
    lengths: list[int] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("INSERT"):
            lengths.append(len(values))

    sa.event.listen(store.database.engine, "before_cursor_execute", note)
    store.log([prediction(f"r{number}") for number in range(500)])
    assert len(lengths) <= 500 / ROWS_PER_STATEMENT
    assert sum(lengths) == 500 * len(PREDICTIONS.columns)
    assert len(store.predictions()) == 500


def test_increases_of_a_counter_add_up_by_the_hour(store: EventStore, url: str) -> None:
    hours = [NOON.replace(minute=0, second=0, microsecond=0) + timedelta(hours=n) for n in (0, 1)]
    store.add_counters([CounterIncrease(hours[0], "requests", "/events 201", 2.0)])
    store.add_counters(
        [CounterIncrease(hours[0], "requests", "/events 201", 3.0),
         CounterIncrease(hours[1], "requests", "/events 201", 10.0),
         CounterIncrease(hours[0], "store_errors", "", 1.0)]
    )  # fmt: skip
    with EventStoreReader(url) as reader:
        first = reader.read_counters(NOON, hours[1])
        assert first == {("requests", "/events 201"): 5.0, ("store_errors", ""): 1.0}
        both = reader.read_counters(NOON, hours[1] + timedelta(minutes=1))
        assert both["requests", "/events 201"] == 15.0
        assert reader.read_counters(hours[1] + timedelta(hours=1), hours[1]) == {}

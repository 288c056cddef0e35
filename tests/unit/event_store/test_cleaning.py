"""Forgotten people and expired rows are erased from tables and files."""

import random
import threading
import time
from datetime import timedelta

import pytest

from pipeline.event_store import cleaning
from pipeline.event_store.cleaning import CleanedTable, forget, retain
from pipeline.event_store.errors import StoreError
from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SuppressionList, hash_user
from tests.unit.event_store.rows import NOON, event, prediction

NONE = SuppressionList()
LEAVER = "ann-who-wants-to-leave"

NO_SHADOW = CleanedTable("shadow_answers", 0, 0)


def test_a_forgotten_person_is_gone_and_others_stay(store: EventStore) -> None:
    store.append([event("1"), event("2"), event("3", user_id="bob")])
    store.log([prediction("r1"), prediction("r2", user_id="bob")])
    done, suppressed = forget(store.database, ["ann", "nobody"], NONE)
    assert done == [CleanedTable("events", 2, 0), CleanedTable("predictions", 1, 0), NO_SHADOW]
    assert suppressed.of(["ann", "bob", "nobody"]) == {"ann", "nobody"}
    assert [row.user_id for row in store.events_since(NOON)] == ["bob"]
    assert [row.user_id for row in store.predictions()] == ["bob"]


def test_nothing_of_a_forgotten_person_is_kept_again(store: EventStore, url: str) -> None:
    """The writing store is not the one that forgot, and has not refreshed its list."""
    command = EventStore(url)
    forget(command.database, ["ann"], NONE)
    command.close()
    assert store.append([event("1"), event("2", user_id="bob")]) == [event("2", user_id="bob")]
    assert "ann" in store.suppressed
    store.log([prediction("r1"), prediction("r2", user_id="bob")])
    assert store.append([event("4")]) == []
    assert [row.event_id for row in store.events_since(NOON)] == ["2"]
    assert [row.request_id for row in store.predictions()] == ["r2"]


def test_a_prediction_that_waited_while_its_person_was_forgotten_is_not_logged(
    store: EventStore, url: str
) -> None:
    command = EventStore(url)
    forget(command.database, ["ann"], NONE)
    command.close()
    store.log([prediction("r1"), prediction("r2", user_id="bob")])
    assert [row.request_id for row in store.predictions()] == ["r2"]


def test_whoever_is_forgotten_while_others_write_of_them_stays_forgotten(url: str) -> None:
    """Four writers write events of ann and bob while ann is forgotten."""
    stores = [EventStore(url, lock_seconds=10) for _ in range(4)]
    started, stopping = threading.Barrier(5), threading.Event()

    def write(number: int) -> None:
        started.wait()
        for n in range(500):
            pair = [event(f"{number}/{n}/{user}", user_id=user) for user in ("ann", "bob")]
            stores[number].append(pair)
            if stopping.is_set() and stores[number].suppressed.entries:
                return

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    command = EventStore(url, lock_seconds=10)
    started.wait()
    time.sleep(0.2)
    done, _ = forget(command.database, ["ann"], NONE)
    stopping.set()
    for thread in threads:
        thread.join()
    assert done[0].n_left == 0
    assert {row.user_id for row in command.events_since(NOON)} == {"bob"}
    for store in (command, *stores):
        store.close()


def test_forgetting_twice_keeps_one_entry_and_one_salt(store: EventStore) -> None:
    forget(store.database, ["ann"], NONE)
    _, suppressed = forget(store.database, ["ann", "bob"], NONE)
    assert len(suppressed) == 2
    assert len({entry.salt for entry in suppressed}) == 1
    store.refresh()
    assert store.suppressed.entries == suppressed.entries


def test_a_list_from_elsewhere_joins_the_database_s(store: EventStore) -> None:
    salt = "ab" * 16
    _, suppressed = forget(store.database, ["ann"], SuppressionList([hash_user("bob", salt)]))
    assert suppressed.of(["ann", "bob"]) == {"ann", "bob"}
    assert {entry.salt for entry in suppressed} == {salt}
    assert store.append([event("1", user_id="bob")]) == []


def test_no_byte_of_a_forgotten_person_is_left_in_the_files(sqlite_store: EventStore) -> None:
    """Write rows of many users in an order that splits pages across the file."""
    people = [f"shopper-{number}" for number in range(60)] + [LEAVER]
    events = [
        event(f"{person}/{n}", user_id=person, timestamp=NOON + timedelta(minutes=n))
        for person in people
        for n in range(40)
    ]
    random.Random(3).shuffle(events)
    for first in range(0, len(events), 50):
        sqlite_store.append(events[first : first + 50])
    sqlite_store.log([prediction(f"r{n}", user_id=LEAVER) for n in range(50)])
    file = sqlite_store.database.path
    assert file is not None

    def n_traces() -> int:
        files = file.parent.glob(f"{file.name}*")
        return sum(file.read_bytes().count(LEAVER.encode()) for file in files)

    assert n_traces() > 80
    done, _ = forget(sqlite_store.database, [LEAVER], NONE)
    assert [row.n_removed for row in done] == [40, 50, 0]
    assert n_traces() == 0
    assert len(list(sqlite_store.events_since(NOON))) == 60 * 40


def test_a_reader_that_never_ends_is_reported(
    sqlite_store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "CHECKPOINT_SECONDS", 0.2)
    sqlite_store.append([event(str(n)) for n in range(6)])
    with sqlite_store.database.reading("a long look") as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("SELECT * FROM events").fetchone()
        with pytest.raises(StoreError, match="busy with readers"):
            forget(sqlite_store.database, ["ann"], NONE)
    done, _ = forget(sqlite_store.database, ["ann"], NONE)
    assert [row.n_left for row in done] == [0, 0, 0]


def test_what_was_received_too_long_ago_goes_whatever_its_own_time(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "STEP_ROWS", 2)
    old = NOON - timedelta(microseconds=1)
    store.append([event(f"old-{n}", received_at=old) for n in range(5)])
    store.append([event("new", timestamp=NOON - timedelta(days=900))])
    store.log([prediction("old", received_at=old), prediction("new")])
    assert retain(store.database, NOON) == [
        CleanedTable("events", 5, 1),
        CleanedTable("predictions", 1, 1),
        NO_SHADOW,
    ]
    kept = store.events_since(NOON - timedelta(days=1000))
    assert [row.event_id for row in kept] == ["new"]
    assert [row.request_id for row in store.predictions()] == ["new"]
    assert retain(store.database, NOON) == [
        CleanedTable("events", 0, 1),
        CleanedTable("predictions", 0, 1),
        NO_SHADOW,
    ]

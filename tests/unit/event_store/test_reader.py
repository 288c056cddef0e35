"""Monitoring reads a store that a service writes, and leaves it as it is."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from pipeline.event_store.reader import EVENT_COLUMNS, EventStoreReader, LoggedAnswer
from pipeline.event_store.store import EventStore, StoreError
from tests.unit.event_store.rows import NOON, event, prediction

HOUR = timedelta(hours=1)
BEGIN, END = NOON - 48 * HOUR, NOON + 48 * HOUR
LATER = NOON + 1_000 * HOUR


def test_the_rows_of_a_period_come_back_in_time_order(store: EventStore, url: str) -> None:
    rows = [event("late", timestamp=NOON + 30 * HOUR), event("b"), event("a"), event("c")]
    outside = [event("before", timestamp=BEGIN - HOUR), event("behind", timestamp=END)]
    store.append([*rows, *outside])
    with EventStoreReader(url) as reader:
        events = reader.read_events(BEGIN, END, LATER)
    assert tuple(events.columns) == EVENT_COLUMNS
    assert events["timestamp"].tolist() == [pd.Timestamp(NOON)] * 3 + [rows[0].timestamp]
    assert events["timestamp"].dtype == "datetime64[us, UTC]"
    assert events["quantity"].tolist() == [2.0] * 4
    assert events["basket_id"].isna().all()


def test_what_was_received_after_the_moment_is_not_known(store: EventStore, url: str) -> None:
    store.append([event("1"), event("2", received_at=NOON + HOUR)])
    store.log([prediction("r1"), prediction("r2", received_at=NOON + HOUR)])
    with EventStoreReader(url) as reader:
        assert len(reader.read_events(BEGIN, END, NOON)) == 1
        assert reader.read_requests(BEGIN, END, NOON)["request_id"].tolist() == ["r1"]
        assert len(reader.read_requests(BEGIN, END, LATER)) == 2


def test_answers_come_back_in_the_order_of_the_requests(store: EventStore, url: str) -> None:
    store.log([prediction("r1"), prediction("r2", items=["tea"], scores=[1.0], slots=["popular"],
                                            cart=["jam"])])  # fmt: skip
    with EventStoreReader(url) as reader:
        answers = reader.read_answers(["r2", "unknown", "r1"])
    assert answers == [
        LoggedAnswer(["tea"], [1.0], ["popular"], ["jam"]),
        None,
        LoggedAnswer(["milk", "tea"], [0.5, 0.25], ["repeat", "explore"], []),
    ]


def test_an_empty_period_has_the_columns_and_no_rows(store: EventStore, url: str) -> None:
    with EventStoreReader(url) as reader:
        events, requests = (
            read(BEGIN, END, LATER) for read in (reader.read_events, reader.read_requests)
        )
        assert reader.read_answers([]) == []
    assert (len(events), len(requests)) == (0, 0)
    assert events["timestamp"].dtype == requests["timestamp"].dtype == "datetime64[us, UTC]"


def test_a_writer_is_not_held_up(sqlite_store: EventStore, sqlite_url: str) -> None:
    with EventStoreReader(sqlite_url) as reader:
        for number in range(3):
            sqlite_store.append([event(str(number))])
            assert len(reader.read_events(BEGIN, END, LATER)) == number + 1
        with sqlite_store.database.engine.connect() as connection:
            checkpoint = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        assert checkpoint[0] == 0  # no reader blocks it


def test_a_reader_cannot_write(sqlite_store: EventStore, sqlite_url: str) -> None:
    with EventStoreReader(sqlite_url) as reader:
        database = reader._database
        with pytest.raises(StoreError, match="readonly"), database.writing("a row") as connection:
            connection.execute(sa.text("DELETE FROM events"))


def test_a_missing_store_is_not_created(tmp_path: Path) -> None:
    file = tmp_path / "new" / "events.db"
    with pytest.raises(StoreError, match=r"no such file.*make serve.*--store"):
        EventStoreReader(f"sqlite:///{file}")
    assert not file.parent.exists()


def test_a_store_of_an_earlier_version_is_refused_and_not_migrated(
    store: EventStore, url: str
) -> None:
    with store.database.writing("an earlier version") as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0003'"))
    with pytest.raises(StoreError, match="version 0003, which an earlier Evergreen wrote"):
        EventStoreReader(url)
    with store.database.engine.connect() as connection:
        version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    assert version == "0003"


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    connection.close()
    with pytest.raises(StoreError, match="without Evergreen's tables"):
        EventStoreReader(f"sqlite:///{file}")


def test_a_corrupt_file_says_so(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    file.write_bytes(b"no database" * 1_000)
    with pytest.raises(StoreError, match=r"file is not a database.*from a backup"):
        EventStoreReader(f"sqlite:///{file}")


def test_a_file_whose_pages_are_damaged_says_so(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    store = EventStore(f"sqlite:///{file}")
    store.append([event(str(number)) for number in range(2_000)])
    store.close()
    contents = bytearray(file.read_bytes())
    contents[40_960:] = b"\xff" * (len(contents) - 40_960)
    file.write_bytes(contents)
    with (
        EventStoreReader(f"sqlite:///{file}") as reader,
        pytest.raises(StoreError, match=r"malformed.*from a backup"),
    ):
        reader.read_events(BEGIN, END, LATER)


def test_a_store_that_vanishes_is_an_error_and_no_empty_table(
    sqlite_store: EventStore, sqlite_url: str
) -> None:
    sqlite_store.append([event("1")])
    with EventStoreReader(sqlite_url) as reader:
        assert len(reader.read_events(BEGIN, END, LATER)) == 1
        Path(sqlite_url.removeprefix("sqlite:///")).unlink()
        with pytest.raises(StoreError, match="moved, deleted or replaced"):
            reader.read_events(BEGIN, END, LATER)


def test_a_moment_without_microseconds_is_read(store: EventStore, url: str) -> None:
    store.append([event("1", timestamp=datetime(2024, 3, 1, tzinfo=UTC)), event("2")])
    with EventStoreReader(url) as reader:
        events = reader.read_events(BEGIN, END, LATER)
    assert events["timestamp"].tolist() == [
        pd.Timestamp("2024-03-01", tz="UTC"),
        pd.Timestamp(NOON),
    ]

"""Every database migrates to the current version from any earlier state."""

import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from pipeline.event_store.migrate import KNOWN, read_version
from pipeline.event_store.migrations import VERSIONS
from pipeline.event_store.store import EventStore, StoreError
from pipeline.event_store.tables import METADATA
from tests.unit.event_store.rows import NOON, event, prediction

# The schema of Evergreen before migrations.
BEFORE = """
CREATE TABLE events (
    event_id VARCHAR(128) NOT NULL, user_id VARCHAR(128) NOT NULL, item_id VARCHAR(128) NOT NULL,
    timestamp DATETIME NOT NULL, event_type VARCHAR(16) NOT NULL, quantity DOUBLE NOT NULL,
    price DOUBLE NOT NULL, discount DOUBLE NOT NULL, basket_id VARCHAR(128),
    session_id VARCHAR(128), store_id VARCHAR(128), source VARCHAR(32) NOT NULL,
    received_at DATETIME NOT NULL, PRIMARY KEY (event_id));
CREATE INDEX events_by_user ON events (user_id, timestamp);
CREATE INDEX events_by_time ON events (timestamp);
CREATE TABLE predictions (
    request_id VARCHAR(32) NOT NULL, user_id VARCHAR(128) NOT NULL, timestamp DATETIME NOT NULL,
    store_id VARCHAR(128), k INTEGER NOT NULL, items JSON NOT NULL, scores JSON NOT NULL,
    slots JSON NOT NULL, model_version VARCHAR(64) NOT NULL, latency_ms DOUBLE NOT NULL,
    received_at DATETIME NOT NULL, PRIMARY KEY (request_id));
CREATE INDEX predictions_by_user ON predictions (user_id, timestamp);
INSERT INTO events VALUES ('1', 'ann', 'milk', '2024-03-01 12:00:00.123456', 'purchase', 2.0, 1.5,
    0.0, NULL, NULL, NULL, 'serving', '2024-03-01 12:00:00.123456');
INSERT INTO predictions VALUES ('r1', 'ann', '2024-03-01 12:00:00.123456', NULL, 2,
    '["milk", "tea"]', '[0.5, 0.25]', '["repeat", "explore"]', '0123456789ab', 1.5,
    '2024-03-01 12:00:00.123456');
"""


def version(store: EventStore) -> str | None:
    with store.database.engine.connect() as connection:
        return read_version(connection)


def test_a_new_database_has_the_tables_that_the_code_describes(store: EventStore) -> None:
    with store.database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    assert version(store) == KNOWN[-1]


def test_a_database_from_before_there_were_migrations_keeps_its_rows(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    before = sqlite3.connect(file)
    before.executescript(BEFORE)
    before.close()
    for _ in range(2):
        store = EventStore(f"sqlite:///{file}")
        assert list(store.events_since(NOON)) == [event("1")]
        assert store.prediction("r1") == prediction("r1", propensities=[], reasons=[])
        assert version(store) == KNOWN[-1]
        with store.database.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        store.close()


def test_a_database_of_a_later_version_is_refused_and_left_as_it_is(store: EventStore) -> None:
    with store.database.writing("a later version") as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    url = store.database.engine.url.render_as_string(hide_password=False)
    with pytest.raises(StoreError, match="version 9999, which a later Evergreen wrote"):
        EventStore(url)
    with store.database.engine.connect() as connection:
        version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    assert version == "9999"


def test_many_that_open_a_new_database_at_once_migrate_it_once(url: str) -> None:
    stores: list[EventStore] = []
    together = threading.Barrier(6)

    def open_it() -> None:
        together.wait()
        stores.append(EventStore(url))

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [version(store) for store in stores] == [KNOWN[-1]] * 6
    for store in stores:
        store.close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VERSIONS[-1], "upgrade", broken)
        with pytest.raises(KeyboardInterrupt):
            EventStore(sqlite_url)
    file = sqlite_url.removeprefix("sqlite:///")
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    store = EventStore(sqlite_url)
    assert version(store) == KNOWN[-1]
    store.close()


def test_versions_follow_one_another() -> None:
    followed = [version.down_revision for version in VERSIONS]
    assert followed == [None, *KNOWN[:-1]]

"""Deletion from the event store: of forgotten people, and of rows past their retention.

Design choices:

- Every table with a `user_id` is cleaned, so that a new table cannot be missed.
- Deleted rows are also erased: SQLite's journal is emptied, PostgreSQL's dead rows are vacuumed.
- Age counts from `received_at`, by the store's clock: an event's `timestamp` comes from the sender,
  and may be years old if history is replayed.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.event_store.database import Database
from pipeline.event_store.errors import StoreError
from pipeline.event_store.suppression import Entry, SuppressionList, hash_user
from pipeline.event_store.tables import METADATA, SUPPRESSED

CHECKPOINT_SECONDS = 10.0
PAUSE_SECONDS = 0.1
STEP_ROWS = 5_000
PERSONAL = [table for table in METADATA.sorted_tables if "user_id" in table.columns]


@dataclass(frozen=True)
class CleanedTable:
    """The numbers of removed and remaining rows of one table."""

    table: str
    n_removed: int
    n_left: int


def forget(
    database: Database, user_ids: Sequence[str], known: SuppressionList
) -> tuple[list[CleanedTable], SuppressionList]:
    """Erase all rows of some users, and add the users to the suppression list.

    Args:
        database: The event store's database.
        user_ids: Users to forget.
        known: Another list, whose entries are added to the database's list.

    Returns:
        The removed and remaining rows per table, and the updated list.

    Raises:
        StoreError: If the database fails; calling again completes the work.
    """
    with database.writing("rows of forgotten people to be removed") as connection:
        if connection.dialect.name != "sqlite":  # wait for writers of such rows
            names = ", ".join(table.name for table in PERSONAL)
            connection.exec_driver_sql(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")
        suppressed = _suppress(connection, user_ids, known)
        removed = [
            connection.execute(sa.delete(table).where(table.c.user_id.in_(user_ids))).rowcount
            for table in PERSONAL
        ]
    erase(database, PERSONAL)
    with database.reading("the remaining rows to be readable") as connection:
        counts = [
            sa.select(sa.func.count()).select_from(table).where(table.c.user_id.in_(user_ids))
            for table in PERSONAL
        ]
        left = [connection.execute(count).scalar_one() for count in counts]
    cleaned = zip(PERSONAL, removed, left, strict=True)
    return [CleanedTable(table.name, *counts) for table, *counts in cleaned], suppressed


def retain(database: Database, since: datetime) -> list[CleanedTable]:
    """Delete the rows received before `since`; return the removed and remaining rows per table.

    Rows are deleted in small steps, so that writers of events never wait long.

    Raises:
        StoreError: If the database fails; calling again completes the work.
    """
    expected = "old rows to be deleted"
    tables = [table for table in PERSONAL if "received_at" in table.columns]
    cleaned = [_retain(database, table, since, expected) for table in tables]
    if any(table.n_removed for table in cleaned):
        erase(database, tables)
    return cleaned


def _retain(database: Database, table: sa.Table, since: datetime, expected: str) -> CleanedTable:
    key = list(table.primary_key)
    step = sa.select(*key).where(table.c.received_at < since).limit(STEP_ROWS)
    removed = 0
    while True:
        with database.writing(expected) as connection:
            n_deleted = connection.execute(
                sa.delete(table).where(sa.tuple_(*key).in_(step))
            ).rowcount
        removed += n_deleted
        if n_deleted < STEP_ROWS:
            break
    with database.reading(expected) as connection:
        left = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    return CleanedTable(table.name, removed, left)


def erase(database: Database, tables: Sequence[sa.Table]) -> None:
    """Overwrite deleted rows in the database's files.

    Raises:
        StoreError: If other readers keep the database busy.
    """
    expected = "the journal of deleted rows to be emptied"
    if database.path is None:
        names = ", ".join(table.name for table in tables)
        with database.reading(expected) as connection:
            autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
            autocommit.exec_driver_sql(f"VACUUM {names}")
        return
    until = time.monotonic() + CHECKPOINT_SECONDS
    while True:
        with database.reading(expected) as connection:
            blocked = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        if not blocked:
            return
        if time.monotonic() > until:
            raise StoreError(
                expected, received="a database that is busy with readers", action="Try again later."
            )
        time.sleep(PAUSE_SECONDS)


def _suppress(
    connection: sa.Connection, user_ids: Sequence[str], known: SuppressionList
) -> SuppressionList:
    rows = connection.execute(sa.select(SUPPRESSED.c.salt, SUPPRESSED.c.user_hash))
    before = SuppressionList({Entry(*row) for row in rows} | known.entries)
    salt = before.salt()
    new = {hash_user(user_id, salt) for user_id in user_ids if user_id not in before}
    after = SuppressionList(before.entries | new)
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    if len(after):
        values = [{"salt": entry.salt, "user_hash": entry.user_hash} for entry in after]
        connection.execute(insert(SUPPRESSED).on_conflict_do_nothing(), values)
    return after

"""What leaves the event store: a person who asked to be forgotten, and what is too old.

Design choices:

- Every table of ours that has a `user_id` is cleaned: a new one cannot be left out by mistake.
- Deleting is not enough: SQLite's journal is emptied and PostgreSQL's dead rows are vacuumed.
- Age counts from `received_at`, by the store's own clock: an event's `timestamp` is what a sender
  says, and may be years back when history is replayed.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.event_store.database import Database
from pipeline.event_store.errors import StoreError
from pipeline.event_store.suppression import Entry, SuppressionList, entry_of
from pipeline.event_store.tables import METADATA, SUPPRESSED

CHECKPOINT_SECONDS = 10.0
PAUSE_SECONDS = 0.1
STEP_ROWS = 5_000
PERSONAL = [table for table in METADATA.sorted_tables if "user_id" in table.columns]


@dataclass(frozen=True)
class Cleaned:
    """What was done to one table."""

    table: str
    n_removed: int
    n_left: int


def forget(
    database: Database, user_ids: Sequence[str], known: SuppressionList
) -> tuple[list[Cleaned], SuppressionList]:
    """Remove all rows of some people, for good, and put them on the suppression list.

    Args:
        database: Of the event store.
        user_ids: Who.
        known: A list from elsewhere whose entries are put on the database's too.

    Returns:
        Per table what was removed and what is left of these people, and the list as it is now.

    Raises:
        StoreError: It could not be done now; doing it again does the rest.
    """
    with database.writing("rows of forgotten people to be removed") as connection:
        if connection.dialect.name != "sqlite":  # nobody is in the middle of writing such a row
            names = ", ".join(table.name for table in PERSONAL)
            connection.exec_driver_sql(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")
        found = _suppress(connection, user_ids, known)
        removed = [
            connection.execute(sa.delete(table).where(table.c.user_id.in_(user_ids))).rowcount
            for table in PERSONAL
        ]
    erase(database, PERSONAL)
    with database.reading("what is left to be readable") as connection:
        counts = [
            sa.select(sa.func.count()).select_from(table).where(table.c.user_id.in_(user_ids))
            for table in PERSONAL
        ]
        left = [connection.execute(count).scalar_one() for count in counts]
    cleaned = zip(PERSONAL, removed, left, strict=True)
    return [Cleaned(table.name, gone, rest) for table, gone, rest in cleaned], found


def retain(database: Database, since: datetime) -> list[Cleaned]:
    """Delete what was received before `since`; return per table what was removed and what is left.

    It goes in small steps: whoever writes events never waits for long.

    Raises:
        StoreError: It could not be done now; doing it again does the rest.
    """
    expected = "old rows to be deleted"
    tables = [table for table in PERSONAL if "received_at" in table.columns]
    done = [_retain(database, table, since, expected) for table in tables]
    if any(each.n_removed for each in done):
        erase(database, tables)
    return done


def _retain(database: Database, table: sa.Table, since: datetime, expected: str) -> Cleaned:
    key = list(table.primary_key)
    some = sa.select(*key).where(table.c.received_at < since).limit(STEP_ROWS)
    removed = 0
    while True:
        with database.writing(expected) as connection:
            gone = connection.execute(sa.delete(table).where(sa.tuple_(*key).in_(some))).rowcount
        removed += gone
        if gone < STEP_ROWS:
            break
    with database.reading(expected) as connection:
        left = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    return Cleaned(table.name, removed, left)


def erase(database: Database, tables: Sequence[sa.Table]) -> None:
    """Overwrite what deleted rows left behind in the database's files.

    Raises:
        StoreError: Others kept the database busy all the time.
    """
    expected = "the journal of deleted rows to be emptied"
    if database.path is None:
        names = ", ".join(table.name for table in tables)
        with database.reading(expected) as connection:
            free = connection.execution_options(isolation_level="AUTOCOMMIT")
            free.exec_driver_sql(f"VACUUM {names}")
        return
    until = time.monotonic() + CHECKPOINT_SECONDS
    while True:
        with database.reading(expected) as connection:
            blocked = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        if not blocked:
            return
        if time.monotonic() > until:
            raise StoreError(
                expected, received="other readers all the time", action="Do the same again later."
            )
        time.sleep(PAUSE_SECONDS)


def _suppress(
    connection: sa.Connection, user_ids: Sequence[str], known: SuppressionList
) -> SuppressionList:
    rows = connection.execute(sa.select(SUPPRESSED.c.salt, SUPPRESSED.c.user_hash))
    before = SuppressionList({Entry(*each) for each in rows} | known.entries)
    salt = before.salt()
    new = {entry_of(user_id, salt) for user_id in user_ids if user_id not in before}
    after = SuppressionList(before.entries | new)
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    if len(after):
        values = [{"salt": each.salt, "user_hash": each.user_hash} for each in after]
        connection.execute(insert(SUPPRESSED).on_conflict_do_nothing(), values)
    return after

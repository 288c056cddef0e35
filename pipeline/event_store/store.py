"""The event store: events and predictions, on disk before they are acknowledged.

Design choices:

- SQLite (see database.py) by default, PostgreSQL by URL.
- `event_id` is the primary key: an event that is sent twice is stored once.
- No row of a forgotten person is written: the transaction that writes reads the list after its
  first write, when no other process can be forgetting someone.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.event_store.database import LOCK_SECONDS, Database
from pipeline.event_store.errors import StoreError
from pipeline.event_store.suppression import Entry, SuppressionList
from pipeline.event_store.tables import (
    AVAILABILITY,
    EVENTS,
    PREDICTIONS,
    SERVICE_COUNTERS,
    SHADOW_ANSWERS,
    SOURCE,
    SUPPRESSED,
    CounterIncrease,
    Prediction,
    ShadowAnswer,
    StoredEvent,
    to_row,
)

STEP_IDS = 5_000  # SQLite allows 32,766 parameters in one statement

__all__ = ["SOURCE", "EventStore", "Prediction", "StoreError", "StoredEvent"]


class EventStore:
    """Events and predictions in a database."""

    def __init__(self, url: str, *, lock_seconds: float = LOCK_SECONDS) -> None:
        """Open the database, and create or migrate its tables.

        Args:
            url: A SQLAlchemy URL.
            lock_seconds: Maximum wait for another writer.

        Raises:
            StoreError: If the database cannot be opened.
        """
        self.database = Database(url, lock_seconds=lock_seconds)
        is_server = self.database.path is None
        insert = postgresql.insert if is_server else sqlite.insert
        self._insert_events = insert(EVENTS).on_conflict_do_nothing().returning(EVENTS.c.event_id)
        # RETURNING makes SQLAlchemy insert many rows by one statement. Row by row, the writing
        # thread would wait for Python's lock after each row, and fall behind a busy endpoint.
        self._insert_shadow = (
            insert(SHADOW_ANSWERS).on_conflict_do_nothing().returning(SHADOW_ANSWERS.c.request_id)
        )
        self._insert_predictions = (
            insert(PREDICTIONS).on_conflict_do_nothing().returning(PREDICTIONS.c.request_id)
        )
        upsert = insert(AVAILABILITY)
        self._set_availability = upsert.on_conflict_do_update(
            index_elements=["item_id"],
            set_={name: upsert.excluded[name] for name in ("available", "changed_at")},
        )
        add = insert(SERVICE_COUNTERS)
        self._add_counters = add.on_conflict_do_update(
            index_elements=["hour", "name", "labels"],
            set_={"increase": SERVICE_COUNTERS.c.increase + add.excluded.increase},
        )
        self.suppressed = SuppressionList()
        """The forgotten people, as of the last write or `refresh`."""
        self.refresh()

    def append(self, events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Commit the events; return the new ones.

        Of several events with the same id, the first counts. Forgotten people are dropped.

        Raises:
            StoreError: If the commit is not confirmed: the database is locked, full or missing.
        """
        first: dict[str, StoredEvent] = {}
        for event in events:
            first.setdefault(event.event_id, event)
        # In a fixed order, so that two writers of the same ids never deadlock.
        rows = [to_row(first[event_id]) for event_id in sorted(first)]
        with self.database.writing("the events to be written to disk") as connection:
            inserted = self._write(connection, self._insert_events, rows)
        new = {row.event_id for row in inserted}
        return [event for event in first.values() if event.event_id in new]

    def log(self, predictions: Sequence[Prediction]) -> None:
        """Commit predictions; existing ones are not changed.

        Raises:
            StoreError: If the commit is not confirmed.
        """
        rows = [to_row(prediction) for prediction in predictions]
        with self.database.writing("the predictions to be written to disk") as connection:
            self._write(connection, self._insert_predictions, rows)

    def log_shadow(self, answers: Sequence[ShadowAnswer]) -> None:
        """Commit the answers of a shadow model.

        Raises:
            StoreError: If the commit is not confirmed.
        """
        rows = [to_row(answer) for answer in answers]
        with self.database.writing("the shadow's answers to be written") as connection:
            self._write(connection, self._insert_shadow, rows)

    def _write(
        self, connection: sa.Connection, insert: sa.Insert, rows: list[dict[str, Any]]
    ) -> Sequence[sa.Row[Any]]:
        """Insert the rows of people who are not forgotten; return the rows of the statement."""
        allowed = [row for row in rows if row["user_id"] not in self.suppressed]
        if not allowed:
            return []
        result = connection.execute(insert, allowed)
        returned = result.all() if result.returns_rows else []
        if self._load(connection) and self.suppressed.of(row["user_id"] for row in allowed):
            connection.rollback()
            return self._write(connection, insert, allowed)
        return returned

    def refresh(self) -> None:
        """Read the list of forgotten people.

        Raises:
            StoreError: If the database cannot be read.
        """
        with self.database.reading("the list of forgotten people to be readable") as connection:
            self._load(connection)

    def _load(self, connection: sa.Connection) -> bool:
        """Return whether the list has changed, by its length: entries are never removed."""
        count = connection.execute(sa.select(sa.func.count()).select_from(SUPPRESSED)).scalar_one()
        if count == len(self.suppressed):
            return False
        entries = connection.execute(sa.select(SUPPRESSED.c.salt, SUPPRESSED.c.user_hash))
        self.suppressed = SuppressionList(Entry(*entry) for entry in entries)
        return True

    def events_since(
        self, moment: datetime, *, user_id: str | None = None
    ) -> Iterator[StoredEvent]:
        """Yield the events at or after `moment` in time order, of one user or of all.

        Raises:
            StoreError: If the database cannot be read.
        """
        query = sa.select(EVENTS).where(EVENTS.c.timestamp >= moment)
        if user_id is not None:
            query = query.where(EVENTS.c.user_id == user_id)
        query = query.order_by(EVENTS.c.timestamp, EVENTS.c.received_at, EVENTS.c.event_id)
        with self.database.reading("the events to be readable") as connection:
            for row in connection.execution_options(yield_per=5_000).execute(query):
                yield StoredEvent(**row._mapping)  # noqa: SLF001  public despite its name

    def n_received_since(self, moment: datetime) -> int:
        """Return the number of events received at or after `moment`.

        Raises:
            StoreError: If the database cannot be read.
        """
        query = sa.select(sa.func.count()).where(EVENTS.c.received_at >= moment)
        with self.database.reading("the events to be readable") as connection:
            return int(connection.execute(query).scalar_one())

    def received_since(self, moment: datetime) -> list[str]:
        """Return the ids of the events received at or after `moment`.

        Raises:
            StoreError: If the database cannot be read.
        """
        query = sa.select(EVENTS.c.event_id).where(EVENTS.c.received_at >= moment)
        with self.database.reading("the events to be readable") as connection:
            return list(connection.execute(query).scalars())

    def events(self, event_ids: Sequence[str]) -> list[StoredEvent]:
        """Return the stored events among `event_ids`, in no particular order.

        Raises:
            StoreError: If the database cannot be read.
        """
        events: list[StoredEvent] = []
        with self.database.reading("the events to be readable") as connection:
            for start in range(0, len(event_ids), STEP_IDS):
                is_in_step = EVENTS.c.event_id.in_(event_ids[start : start + STEP_IDS])
                query = sa.select(EVENTS).where(is_in_step)
                events += [StoredEvent(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001
        return events

    def predictions(self, *, user_id: str | None = None) -> list[Prediction]:
        """Return logged predictions in time order, of one user or of all.

        Raises:
            StoreError: If the database cannot be read.
        """
        query = sa.select(PREDICTIONS).order_by(PREDICTIONS.c.timestamp, PREDICTIONS.c.request_id)
        if user_id is not None:
            query = query.where(PREDICTIONS.c.user_id == user_id)
        with self.database.reading("the predictions to be readable") as connection:
            rows = connection.execute(query).mappings().all()
        return [Prediction(**row) for row in rows]

    def prediction(self, request_id: str) -> Prediction | None:
        """Return the logged prediction of one request, or None.

        Raises:
            StoreError: If the database cannot be read.
        """
        query = sa.select(PREDICTIONS).where(PREDICTIONS.c.request_id == request_id)
        with self.database.reading("the predictions to be readable") as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else Prediction(**row)

    def set_availability(self, available: Mapping[str, bool], *, changed_at: datetime) -> None:
        """Commit which items are available; later values replace earlier ones.

        Raises:
            StoreError: If the commit is not confirmed.
        """
        # In a fixed order, as in `append`.
        rows = [
            {"item_id": item_id, "available": available[item_id], "changed_at": changed_at}
            for item_id in sorted(available)
        ]
        with self.database.writing("the availability to be written to disk") as connection:
            connection.execute(self._set_availability, rows)

    def unavailable(self) -> list[str]:
        """Return the unavailable items in lexical order.

        Raises:
            StoreError: If the database cannot be read.
        """
        query = sa.select(AVAILABILITY.c.item_id).where(~AVAILABILITY.c.available)
        with self.database.reading("the availability to be readable") as connection:
            return sorted(connection.execute(query).scalars())

    def add_counters(self, increases: Sequence[CounterIncrease]) -> None:
        """Commit increases of counters, each added to the row of its hour, name and labels.

        Raises:
            StoreError: If the commit is not confirmed.
        """
        # In a fixed order, as in `append`.
        rows = sorted(increases, key=lambda row: (row.hour, row.name, row.labels))
        with self.database.writing("the service's counters to be written to disk") as connection:
            connection.execute(self._add_counters, [to_row(row) for row in rows])

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

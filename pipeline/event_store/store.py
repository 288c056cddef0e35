"""The event store: what shoppers did and what they were shown, on disk before it is acknowledged.

Design choices:

- SQLite (see database.py) by default, PostgreSQL by its URL.
- `event_id` is the primary key: an event that is sent twice is stored once.
- Nothing of a forgotten person is written: the list is read in the transaction that writes, after
  its first write, when no other process can be in the middle of forgetting.
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
    SHADOW_ANSWERS,
    SOURCE,
    SUPPRESSED,
    Prediction,
    ShadowAnswer,
    StoredEvent,
    row,
)

STEP_IDS = 5_000  # SQLite takes 32,766 in one statement

__all__ = ["SOURCE", "EventStore", "Prediction", "StoreError", "StoredEvent"]


class EventStore:
    """Events and predictions in a database."""

    def __init__(self, url: str, *, lock_seconds: float = LOCK_SECONDS) -> None:
        """Open the database; its tables are made, or brought to this version.

        Args:
            url: A SQLAlchemy URL.
            lock_seconds: How long to wait for another writer.

        Raises:
            StoreError: It cannot be opened.
        """
        self.database = Database(url, lock_seconds=lock_seconds)
        is_server = self.database.path is None
        insert = postgresql.insert if is_server else sqlite.insert
        self._insert_events = insert(EVENTS).on_conflict_do_nothing().returning(EVENTS.c.event_id)
        # What is returned makes SQLAlchemy write many rows by one statement. Row by row, the thread
        # that writes would wait for Python's lock after each, and fall behind a busy endpoint.
        self._insert_shadow = (
            insert(SHADOW_ANSWERS).on_conflict_do_nothing().returning(SHADOW_ANSWERS.c.request_id)
        )
        self._insert_predictions = (
            insert(PREDICTIONS).on_conflict_do_nothing().returning(PREDICTIONS.c.request_id)
        )
        offered = insert(AVAILABILITY)
        self._set_availability = offered.on_conflict_do_update(
            index_elements=["item_id"],
            set_={name: offered.excluded[name] for name in ("available", "changed_at")},
        )
        self.suppressed = SuppressionList()
        """Who is forgotten, as of the last write or `refresh`; replaced when it changes."""
        self.refresh()

    def append(self, events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Commit the events; return those that were not there before.

        Of several with the same id the first is kept. Those of forgotten people are left out.

        Raises:
            StoreError: Nothing was acknowledged: the database is locked, full or gone.
        """
        first: dict[str, StoredEvent] = {}
        for event in events:
            first.setdefault(event.event_id, event)
        # In one order everywhere: two writers of the same ids never wait for each other.
        rows = [row(first[event_id]) for event_id in sorted(first)]
        with self.database.writing("the events to be written to disk") as connection:
            new = {found.event_id for found in self._write(connection, self._insert_events, rows)}
        return [event for event in first.values() if event.event_id in new]

    def log(self, predictions: Sequence[Prediction]) -> None:
        """Commit predictions; one that is there already stays as it is.

        Raises:
            StoreError: Nothing was acknowledged.
        """
        rows = [row(each) for each in predictions]
        with self.database.writing("the predictions to be written to disk") as connection:
            self._write(connection, self._insert_predictions, rows)

    def log_shadow(self, answers: Sequence[ShadowAnswer]) -> None:
        """Commit what a model in the shadow would have shown.

        Raises:
            StoreError: Nothing was acknowledged.
        """
        rows = [row(each) for each in answers]
        with self.database.writing("the shadow's answers to be written") as connection:
            self._write(connection, self._insert_shadow, rows)

    def _write(
        self, connection: sa.Connection, insert: sa.Insert, rows: list[dict[str, Any]]
    ) -> Sequence[sa.Row[Any]]:
        """Insert the rows of all who are not forgotten; return what the statement returns."""
        kept = [each for each in rows if each["user_id"] not in self.suppressed]
        if not kept:
            return []
        done = connection.execute(insert, kept)
        found = done.all() if done.returns_rows else []
        if self._load(connection) and self.suppressed.of(each["user_id"] for each in kept):
            connection.rollback()
            return self._write(connection, insert, kept)
        return found

    def refresh(self) -> None:
        """Read who is forgotten.

        Raises:
            StoreError: It cannot be read now.
        """
        with self.database.reading("the list of forgotten people to be readable") as connection:
            self._load(connection)

    def _load(self, connection: sa.Connection) -> bool:
        """Return whether the list changed; by its length, as entries are only ever added."""
        count = connection.execute(sa.select(sa.func.count()).select_from(SUPPRESSED)).scalar_one()
        if count == len(self.suppressed):
            return False
        entries = connection.execute(sa.select(SUPPRESSED.c.salt, SUPPRESSED.c.user_hash))
        self.suppressed = SuppressionList(Entry(*each) for each in entries)
        return True

    def events_since(
        self, moment: datetime, *, user_id: str | None = None
    ) -> Iterator[StoredEvent]:
        """Yield the events at or after `moment` in time order, of one user or of all.

        Raises:
            StoreError: The database cannot be read.
        """
        query = sa.select(EVENTS).where(EVENTS.c.timestamp >= moment)
        if user_id is not None:
            query = query.where(EVENTS.c.user_id == user_id)
        query = query.order_by(EVENTS.c.timestamp, EVENTS.c.received_at, EVENTS.c.event_id)
        with self.database.reading("the events to be readable") as connection:
            for found in connection.execution_options(yield_per=5_000).execute(query):
                yield StoredEvent(**found._mapping)  # noqa: SLF001  its public name

    def n_received_since(self, moment: datetime) -> int:
        """Return how many events were received at or after `moment`.

        Raises:
            StoreError: The database cannot be read.
        """
        query = sa.select(sa.func.count()).where(EVENTS.c.received_at >= moment)
        with self.database.reading("the events to be readable") as connection:
            return int(connection.execute(query).scalar_one())

    def received_since(self, moment: datetime) -> list[str]:
        """Return the ids of the events that were received at or after `moment`.

        Raises:
            StoreError: The database cannot be read.
        """
        query = sa.select(EVENTS.c.event_id).where(EVENTS.c.received_at >= moment)
        with self.database.reading("the events to be readable") as connection:
            return list(connection.execute(query).scalars())

    def events(self, event_ids: Sequence[str]) -> list[StoredEvent]:
        """Return those of the events that are there, in no order.

        Raises:
            StoreError: The database cannot be read.
        """
        found: list[StoredEvent] = []
        with self.database.reading("the events to be readable") as connection:
            for start in range(0, len(event_ids), STEP_IDS):
                some = EVENTS.c.event_id.in_(event_ids[start : start + STEP_IDS])
                query = sa.select(EVENTS).where(some)
                found += [StoredEvent(**each._mapping) for each in connection.execute(query)]  # noqa: SLF001
        return found

    def predictions(self, *, user_id: str | None = None) -> list[Prediction]:
        """Return logged predictions in time order, of one user or of all.

        Raises:
            StoreError: The database cannot be read.
        """
        query = sa.select(PREDICTIONS).order_by(PREDICTIONS.c.timestamp, PREDICTIONS.c.request_id)
        if user_id is not None:
            query = query.where(PREDICTIONS.c.user_id == user_id)
        with self.database.reading("the predictions to be readable") as connection:
            rows = connection.execute(query).mappings().all()
        return [Prediction(**found) for found in rows]

    def prediction(self, request_id: str) -> Prediction | None:
        """Return the logged prediction of one request, None without one.

        Raises:
            StoreError: The database cannot be read.
        """
        query = sa.select(PREDICTIONS).where(PREDICTIONS.c.request_id == request_id)
        with self.database.reading("the predictions to be readable") as connection:
            found = connection.execute(query).mappings().one_or_none()
        return None if found is None else Prediction(**found)

    def set_availability(self, available: Mapping[str, bool], *, changed_at: datetime) -> None:
        """Commit which items can be bought and which cannot; the last word counts.

        Raises:
            StoreError: Nothing was acknowledged.
        """
        # In one order everywhere, as in `append`.
        rows = [
            {"item_id": item_id, "available": available[item_id], "changed_at": changed_at}
            for item_id in sorted(available)
        ]
        with self.database.writing("the availability to be written to disk") as connection:
            connection.execute(self._set_availability, rows)

    def unavailable(self) -> list[str]:
        """Return the items that cannot be bought now, in the order of text.

        Raises:
            StoreError: The database cannot be read.
        """
        query = sa.select(AVAILABILITY.c.item_id).where(~AVAILABILITY.c.available)
        with self.database.reading("the availability to be readable") as connection:
            return sorted(connection.execute(query).scalars())

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

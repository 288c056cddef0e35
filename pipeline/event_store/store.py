"""The event store: what shoppers did and what they were shown, on disk before it is acknowledged.

Design choices:

- SQLite in WAL mode with `synchronous=FULL`: a commit that returned survives a power cut. Any other
  database that SQLAlchemy reaches and that knows `ON CONFLICT DO NOTHING` (PostgreSQL) by its URL.
- `event_id` is the primary key: an event that is sent twice is stored once.
- Waiting for a lock is short: a caller rather gets "try again" than hangs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from pipeline.errors import EvergreenError

LOCK_SECONDS = 0.5
SOURCE = "serving"


class StoreError(EvergreenError):
    """The event store cannot be written or read now."""


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A moment that knows its zone; SQLite keeps it as UTC text that sorts by time."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return what the database stores."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


METADATA = sa.MetaData()
EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("event_id", sa.String(128), primary_key=True),
    sa.Column("user_id", sa.String(128), nullable=False),
    sa.Column("item_id", sa.String(128), nullable=False),
    sa.Column("timestamp", UtcDateTime, nullable=False),
    sa.Column("event_type", sa.String(16), nullable=False),
    sa.Column("quantity", sa.Double, nullable=False),
    sa.Column("price", sa.Double, nullable=False),
    sa.Column("discount", sa.Double, nullable=False),
    sa.Column("basket_id", sa.String(128)),
    sa.Column("session_id", sa.String(128)),
    sa.Column("store_id", sa.String(128)),
    sa.Column("source", sa.String(32), nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Index("events_by_user", "user_id", "timestamp"),
    sa.Index("events_by_time", "timestamp"),
)
PREDICTIONS = sa.Table(
    "predictions",
    METADATA,
    sa.Column("request_id", sa.String(32), primary_key=True),
    sa.Column("user_id", sa.String(128), nullable=False),
    sa.Column("timestamp", UtcDateTime, nullable=False),
    sa.Column("store_id", sa.String(128)),
    sa.Column("k", sa.Integer, nullable=False),
    sa.Column("items", sa.JSON, nullable=False),
    sa.Column("scores", sa.JSON, nullable=False),
    sa.Column("slots", sa.JSON, nullable=False),
    sa.Column("model_version", sa.String(64), nullable=False),
    sa.Column("latency_ms", sa.Double, nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Index("predictions_by_user", "user_id", "timestamp"),
)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One row of the events table."""

    event_id: str
    user_id: str
    item_id: str
    timestamp: datetime
    event_type: str
    quantity: float
    price: float
    discount: float
    basket_id: str | None
    session_id: str | None
    store_id: str | None
    source: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row of the predictions table: what a shopper was shown."""

    request_id: str
    user_id: str
    timestamp: datetime
    store_id: str | None
    k: int
    items: list[str]
    scores: list[float]
    slots: list[str]
    model_version: str
    latency_ms: float
    received_at: datetime


class EventStore:
    """Events and predictions in a database."""

    def __init__(self, url: str, *, lock_seconds: float = LOCK_SECONDS) -> None:
        """Open the database and create its tables if they are not there.

        Args:
            url: A SQLAlchemy URL.
            lock_seconds: How long to wait for another writer (SQLite).

        Raises:
            StoreError: It cannot be opened.
        """
        try:
            self._engine = _engine(url, lock_seconds)
        except (ArgumentError, NoSuchModuleError, ImportError, OSError) as error:
            raise StoreError(
                "A database URL of SQLAlchemy was wanted whose driver is installed",
                received=f"{type(error).__name__}: {error}",
                action="Correct serving.event_store in params.yaml.",
            ) from error
        try:
            METADATA.create_all(self._engine)
        except DBAPIError as error:
            self._engine.dispose()
            raise _unavailable("The event store must open", error) from error
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        self._insert_events = insert(EVENTS).on_conflict_do_nothing().returning(EVENTS.c.event_id)
        self._insert_predictions = insert(PREDICTIONS).on_conflict_do_nothing()

    def append(self, events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Commit the events; return those that were not there before.

        Of several with the same id the first is kept.

        Raises:
            StoreError: Nothing was written: the database is locked, full or gone.
        """
        first: dict[str, StoredEvent] = {}
        for event in events:
            first.setdefault(event.event_id, event)
        rows = [_row(event) for event in first.values()]
        try:
            with self._engine.begin() as connection:
                new = set(connection.execute(self._insert_events, rows).scalars())
        except DBAPIError as error:
            raise _unavailable("The events must be written to disk", error) from error
        return [event for event in first.values() if event.event_id in new]

    def log(self, predictions: Sequence[Prediction]) -> None:
        """Commit predictions; one that is there already stays as it is.

        Raises:
            StoreError: Nothing was written.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(self._insert_predictions, [_row(each) for each in predictions])
        except DBAPIError as error:
            raise _unavailable("The predictions must be written to disk", error) from error

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
        try:
            with self._engine.connect() as connection:
                for row in connection.execution_options(yield_per=5_000).execute(query):
                    yield StoredEvent(**row._mapping)  # noqa: SLF001  its public name
        except DBAPIError as error:
            raise _unavailable("The events must be readable", error) from error

    def predictions(self, *, user_id: str | None = None) -> list[Prediction]:
        """Return logged predictions in time order, of one user or of all.

        Raises:
            StoreError: The database cannot be read.
        """
        query = sa.select(PREDICTIONS).order_by(PREDICTIONS.c.timestamp, PREDICTIONS.c.request_id)
        if user_id is not None:
            query = query.where(PREDICTIONS.c.user_id == user_id)
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(query).mappings().all()
        except DBAPIError as error:
            raise _unavailable("The predictions must be readable", error) from error
        return [Prediction(**row) for row in rows]

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _engine(url: str, lock_seconds: float) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, pool_pre_ping=True)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, connect_args={"timeout": lock_seconds})

    @sa.event.listens_for(engine, "connect")
    def durable(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    return engine


def _row(value: StoredEvent | Prediction) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _unavailable(wanted: str, error: DBAPIError) -> StoreError:
    return StoreError(wanted, received=str(error.orig), action="Try again in a moment.")

"""Read-only access to the event store of a running service, as tables of a period.

Design choices:

- The database is neither created nor migrated, because the service owns it.
- A period is read day by day, in one short transaction each: a long one would keep SQLite from
  emptying its journal, and so a forgotten person's rows from being erased.
- Rows received after a given moment are ignored, so that all tables show the same moment although
  the service goes on writing.
- Columns are read without Python objects for each row: a million events take seconds.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import sqlalchemy as sa

from pipeline.event_store.database import LOCK_SECONDS, Database
from pipeline.event_store.tables import EVENTS, PREDICTIONS, SERVICE_COUNTERS

DAY = timedelta(days=1)
STEP_IDS = 5_000  # SQLite allows 32,766 parameters in one statement
MOMENTS = ("timestamp", "received_at")
EVENT_COLUMNS = (
    "user_id", "item_id", "timestamp", "event_type", "quantity", "price", "discount", "basket_id",
    "session_id", "store_id", "source", "received_at",
)  # fmt: skip
REQUEST_COLUMNS = (
    "request_id", "user_id", "timestamp", "store_id", "k", "model_version", "latency_ms",
    "received_at",
)  # fmt: skip


class LoggedAnswer(NamedTuple):
    """The lists of one prediction: items, their scores and slots, and the cart of the request."""

    items: list[str]
    scores: list[float]
    slots: list[str]
    cart: list[str]


class EventStoreReader:
    """A reader of one event store; a context manager."""

    def __init__(self, url: str, *, lock_seconds: float = LOCK_SECONDS) -> None:
        """Open the database, which must have the current version.

        Args:
            url: A SQLAlchemy URL.
            lock_seconds: Maximum wait for a lock.

        Raises:
            StoreError: If the database is missing, damaged, or of another version.
        """
        self._database = Database(url, lock_seconds=lock_seconds, is_read_only=True)

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self._database.close()

    def read_events(self, since: datetime, until: datetime, known_at: datetime) -> pd.DataFrame:
        """Return EVENT_COLUMNS of the events of a period, by timestamp and event_id.

        Args:
            since: First timestamp.
            until: First timestamp after the period.
            known_at: Events received later are ignored.

        Raises:
            StoreError: If the database cannot be read.
        """
        return self._read(EVENTS, EVENT_COLUMNS, "event_id", (since, until, known_at))

    def read_requests(self, since: datetime, until: datetime, known_at: datetime) -> pd.DataFrame:
        """Return REQUEST_COLUMNS of the predictions of a period, by timestamp and request_id.

        Args:
            since: First timestamp.
            until: First timestamp after the period.
            known_at: Predictions of requests received later are ignored.

        Raises:
            StoreError: If the database cannot be read.
        """
        return self._read(PREDICTIONS, REQUEST_COLUMNS, "request_id", (since, until, known_at))

    def read_answers(self, request_ids: Sequence[str]) -> list[LoggedAnswer | None]:
        """Return the answer to each request, None if it has been deleted.

        Raises:
            StoreError: If the database cannot be read.
        """
        columns = [PREDICTIONS.c[name] for name in ("request_id", *LoggedAnswer._fields)]
        answers: dict[str, LoggedAnswer] = {}
        for start in range(0, len(request_ids), STEP_IDS):
            step = request_ids[start : start + STEP_IDS]
            query = sa.select(*columns).where(PREDICTIONS.c.request_id.in_(step))
            with self._database.reading("the predictions to be readable") as connection:
                rows = connection.execute(query).all()
            answers |= {str(name): LoggedAnswer(*lists) for name, *lists in rows}
        return [answers.get(request_id) for request_id in request_ids]

    def read_counters(self, since: datetime, until: datetime) -> dict[tuple[str, str], float]:
        """Return the increase of each counter, by name and labels, in the hours of a period.

        Args:
            since: First moment; the whole hour counts.
            until: First moment after the period; the whole hour counts.

        Raises:
            StoreError: If the database cannot be read.
        """
        columns = SERVICE_COUNTERS.c
        first = since.replace(minute=0, second=0, microsecond=0)
        query = (
            sa.select(columns.name, columns.labels, sa.func.sum(columns.increase))
            .where(columns.hour >= first, columns.hour < until)
            .group_by(columns.name, columns.labels)
        )
        with self._database.reading("the service's counters to be readable") as connection:
            rows = connection.execute(query).all()
        return {(name, labels): float(increase) for name, labels, increase in rows}

    def _read(
        self,
        table: sa.Table,
        names: Sequence[str],
        key: str,
        bounds: tuple[datetime, datetime, datetime],
    ) -> pd.DataFrame:
        since, until, known_at = bounds
        query = sa.select(*[self._column(table, name) for name in names])
        query = query.where(table.c.received_at <= known_at)
        query = query.order_by(table.c.timestamp, table.c[key])
        parts: list[Sequence[Any]] = []
        for first, behind in _days(since, until):
            day = query.where(table.c.timestamp >= first, table.c.timestamp < behind)
            with self._database.reading(f"the {table.name} to be readable") as connection:
                parts.append(connection.execute(day).all())
        rows = [row for part in parts for row in part]
        return _as_frame(rows, names)

    def _column(self, table: sa.Table, name: str) -> sa.ColumnElement[Any]:
        """Return the column; SQLite's moments as text, which pandas parses a column at a time."""
        column: sa.ColumnElement[Any] = table.c[name]
        if name in MOMENTS and self._database.path is not None:
            return sa.type_coerce(column, sa.String).label(name)
        return column


def _days(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    first = since
    while first < until:
        behind = min(first + DAY, until)
        yield first, behind
        first = behind


def _as_frame(rows: Sequence[Any], names: Sequence[str]) -> pd.DataFrame:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    frame = pd.DataFrame(
        {
            name: np.array(values, dtype=object)
            if name not in MOMENTS
            else pd.to_datetime(list(values), utc=True, format="ISO8601").as_unit("us")
            for name, values in zip(names, columns, strict=True)
        }
    )
    return frame.infer_objects()

"""A connection to the database that keeps what it acknowledges.

Design choices for SQLite:

- WAL mode with `synchronous=FULL`: a commit that returned survives a power cut.
- Once opened, the file is never made anew: were it taken away, an empty one in its place would
  hide that. A commit counts only when the file is still where it was, before and after: on Linux
  one can write to a file that nobody will find again.
- `secure_delete`: what is deleted is overwritten.
- Waiting for a lock is short: a caller rather gets "try again" than hangs.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from pydantic_core import to_json
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from pipeline.event_store.errors import StoreError, said_clearly
from pipeline.event_store.migrate import migrate

LOCK_SECONDS = 0.5
# Another process that opens the same database migrates it meanwhile.
OPEN_SECONDS = 15.0
PAUSE_SECONDS = 0.05
# Python keeps 128 prepared statements of SQLite, one for each number of rows that was ever written:
# at 500 rows they take 80 MiB.
ROWS_PER_STATEMENT = 50
# PostgreSQL: a server that is silent is given up; a half-open connection would hang for minutes.
NETWORK = {"connect_timeout": 2, "tcp_user_timeout": 5_000, "keepalives_idle": 5}


class Database:
    """An engine on a database of this version."""

    def __init__(self, url: str, *, lock_seconds: float = LOCK_SECONDS) -> None:
        """Open the database, migrated; SQLite's file is made if it is not there.

        Args:
            url: A SQLAlchemy URL of SQLite or PostgreSQL.
            lock_seconds: How long to wait for another writer.

        Raises:
            StoreError: It cannot be opened, or a later version of Evergreen wrote it.
        """
        try:
            self._parsed = sa.make_url(url)
            self.engine = self._engine(lock_seconds)
            self._file = self._identity()
        except (ArgumentError, NoSuchModuleError, ImportError, OSError) as error:
            raise StoreError(
                "a database URL of SQLAlchemy whose driver is installed",
                received=f"{type(error).__name__}: {error}",
                action="Correct serving.event_store in params.yaml.",
            ) from error
        try:
            with said_clearly("the event store to open"):
                _persist(lambda: migrate(self.engine))
        except StoreError:
            self.engine.dispose()
            raise

    @property
    def path(self) -> Path | None:
        """Where SQLite's file is; None for a server."""
        kind = self._parsed.get_backend_name()
        if kind not in {"sqlite", "postgresql"}:
            message = f"expected sqlite or postgresql, got {kind}"
            raise ArgumentError(message)
        if kind == "postgresql":
            return None
        name = self._parsed.database or ""
        if name in {"", ":memory:"}:
            message = "expected a file, as in sqlite:///data/events.db"
            raise ArgumentError(message)
        return Path(name)

    @contextmanager
    def writing(self, expected: str) -> Iterator[sa.Connection]:
        """Yield a connection whose work is committed at the end, on disk when this returns.

        Args:
            expected: What it is for: goes on after "Expected".

        Raises:
            StoreError: Nothing is known to be written.
        """
        with said_clearly(expected):
            with self.engine.connect() as connection:
                yield connection
                self._check_file(expected)
                connection.commit()
            self._check_file(expected)

    @contextmanager
    def reading(self, expected: str) -> Iterator[sa.Connection]:
        """Yield a connection to read with.

        Args:
            expected: What it is for: goes on after "Expected".

        Raises:
            StoreError: It cannot be read.
        """
        with said_clearly(expected), self.engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _engine(self, lock_seconds: float) -> sa.Engine:
        if self.path is None:
            engine = sa.create_engine(
                self._parsed,
                pool_pre_ping=True,
                connect_args=NETWORK,
                json_serializer=_as_json,
            )
            sa.event.listen(engine, "connect", _limit_waiting(lock_seconds))
            return engine
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        name = f"file:{quote(str(self.path.absolute()))}?mode=rw"

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(name, uri=True, timeout=lock_seconds, check_same_thread=False)

        engine = sa.create_engine(
            self._parsed,
            creator=connect,
            json_serializer=_as_json,
            insertmanyvalues_page_size=ROWS_PER_STATEMENT,
        )
        sa.event.listen(engine, "connect", _make_durable)
        return engine

    def _identity(self) -> tuple[int, int] | None:
        if self.path is None:
            return None
        try:
            found = os.stat(self.path)  # noqa: PTH116  a tenth of the cost of Path.stat
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _check_file(self, expected: str) -> None:
        if self.path is None or self._identity() == self._file:
            return
        # Connections to the old file are given up; the next ones find what is there then.
        self.engine.dispose()
        self._file = self._identity() or self._file
        raise StoreError(
            expected,
            received="its file was moved, deleted or replaced",
            action=f"Put '{self.path.name}' back, or start the service again for a new one.",
        )


def _as_json(value: Any) -> str:
    """Return what `json.dumps` would, in a third of its time."""
    return to_json(value).decode()


def _make_durable(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _limit_waiting(lock_seconds: float) -> Callable[[Any, Any], None]:
    def limit(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {int(lock_seconds * 1000)}")
        connection.commit()

    return limit


def _persist(work: Callable[[], None]) -> None:
    """Do `work` again while another process holds the database."""
    until = time.monotonic() + OPEN_SECONDS
    while True:
        try:
            return work()
        except DBAPIError as error:
            if "locked" not in str(error.orig) or time.monotonic() > until:
                raise
            time.sleep(PAUSE_SECONDS)

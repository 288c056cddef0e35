"""A durable connection to the database.

Design choices for SQLite:

- WAL mode with `synchronous=FULL`: a commit that has returned survives a power cut.
- Once opened, the file is never recreated: an empty file would hide that the original was deleted.
  A commit succeeds only if the file is still at its path before and after it, because Linux allows
  writes to a deleted file.
- `secure_delete`: deleted rows are overwritten.
- Lock timeouts are short: a caller gets "try again" instead of a long wait.
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

from pipeline.event_store.errors import StoreError, translate_errors
from pipeline.event_store.migrate import check_version, migrate

LOCK_SECONDS = 0.5
# While another process migrates the database.
OPEN_SECONDS = 15.0
PAUSE_SECONDS = 0.05
# Python caches 128 prepared statements of SQLite, one per number of rows: 80 MiB at 500 rows.
ROWS_PER_STATEMENT = 50
# PostgreSQL: time out on a silent server; a half-open connection would hang for minutes.
NETWORK = {"connect_timeout": 2, "tcp_user_timeout": 5_000, "keepalives_idle": 5}


class Database:
    """An engine for a database of the current schema version."""

    def __init__(
        self, url: str, *, lock_seconds: float = LOCK_SECONDS, is_read_only: bool = False
    ) -> None:
        """Open and migrate the database; a missing SQLite file is created.

        Args:
            url: A SQLAlchemy URL of SQLite or PostgreSQL.
            lock_seconds: Maximum wait for another writer.
            is_read_only: Whether to leave the database as it is: neither create nor migrate it.

        Raises:
            StoreError: If it cannot be opened, or another version of Evergreen wrote it.
        """
        self._is_read_only = is_read_only
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
            with translate_errors("the event store to open"):
                open_ = check_version if is_read_only else migrate
                _retry_while_locked(lambda: open_(self.engine))
        except StoreError:
            self.engine.dispose()
            raise

    @property
    def path(self) -> Path | None:
        """The path of SQLite's file; None for a server."""
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
        """Yield a connection, and commit its work to disk at the end.

        Args:
            expected: Purpose of the connection, as a phrase that follows "Expected".

        Raises:
            StoreError: If the commit is not confirmed.
        """
        with translate_errors(expected):
            with self.engine.connect() as connection:
                yield connection
                self._check_file(expected)
                connection.commit()
            self._check_file(expected)

    @contextmanager
    def reading(self, expected: str) -> Iterator[sa.Connection]:
        """Yield a connection for reading.

        Args:
            expected: Purpose of the connection, as a phrase that follows "Expected".

        Raises:
            StoreError: If the database cannot be read.
        """
        with translate_errors(expected), self.engine.connect() as connection:
            yield connection
            if self._is_read_only:  # a writer checks before each commit
                self._check_file(expected)

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
        if self._is_read_only and not self.path.exists():
            raise StoreError(
                f"the event store of a service at '{self.path}'",
                received="no such file",
                action="Start the service with `make serve`, or name its database by --store.",
            )
        if not self._is_read_only:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
        mode = "ro" if self._is_read_only else "rw"
        name = f"file:{quote(str(self.path.absolute()))}?mode={mode}"

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(name, uri=True, timeout=lock_seconds, check_same_thread=False)

        engine = sa.create_engine(
            self._parsed,
            creator=connect,
            json_serializer=_as_json,
            insertmanyvalues_page_size=ROWS_PER_STATEMENT,
        )
        if not self._is_read_only:
            sa.event.listen(engine, "connect", _make_durable)
        return engine

    def _identity(self) -> tuple[int, int] | None:
        if self.path is None:
            return None
        try:
            status = os.stat(self.path)  # noqa: PTH116  a tenth of the cost of Path.stat
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def _check_file(self, expected: str) -> None:
        if self.path is None or self._identity() == self._file:
            return
        # Close connections to the old file; new ones open the file that is there then.
        self.engine.dispose()
        self._file = self._identity() or self._file
        raise StoreError(
            expected,
            received="its file was moved, deleted or replaced",
            action=f"Put '{self.path.name}' back, or restart the service for a new one.",
        )


def _as_json(value: Any) -> str:
    """Return JSON as `json.dumps` does, in a third of its time."""
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


def _retry_while_locked(work: Callable[[], None]) -> None:
    """Call `work`, again and again while another process locks the database."""
    until = time.monotonic() + OPEN_SECONDS
    while True:
        try:
            return work()
        except DBAPIError as error:
            if "locked" not in str(error.orig) or time.monotonic() > until:
                raise
            time.sleep(PAUSE_SECONDS)

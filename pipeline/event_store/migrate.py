"""Migration of a database to the current schema version, by one process at a time.

Design choices:

- Alembic without its folder of scripts, template and .ini: the steps are a list of modules.
- All steps run in one transaction under the database's lock: a process that is killed leaves the
  database unchanged, and of two processes that start together, the second has nothing to do.
- A database of a later version is rejected: this version would lose data that it does not know.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script
from alembic.script.revision import RevisionMap

from pipeline.event_store.errors import StoreError
from pipeline.event_store.migrations import VERSIONS

KNOWN = [str(version.revision) for version in VERSIONS]
# An arbitrary number that no other program uses on the same PostgreSQL database.
LOCK = 6_720_411_977


def migrate(engine: sa.Engine) -> None:
    """Migrate the database to the current version, and create missing tables.

    Raises:
        StoreError: If a later version of Evergreen wrote the database.
        DBAPIError: If the database fails.
    """
    with engine.connect() as connection:
        if read_version(connection) == KNOWN[-1]:
            return
    with _lock(engine) as connection:
        read_version(connection)
        context = MigrationContext.configure(
            connection, opts={"fn": _steps, "transactional_ddl": True}
        )
        with Operations.context(context):
            context.run_migrations()


def check_version(engine: sa.Engine) -> None:
    """Check that the database has the current version, without changing it.

    Raises:
        StoreError: If another version of Evergreen wrote the database, or none did.
        DBAPIError: If the database fails.
    """
    with engine.connect() as connection:
        version = read_version(connection)
    if version != KNOWN[-1]:
        raise StoreError(
            f"an event store of version {KNOWN[-1]}",
            received="a database without Evergreen's tables"
            if version is None
            else f"version {version}, which an earlier Evergreen wrote",
            action="Restart the service with this version, which migrates it: `make serve`.",
        )


def read_version(connection: sa.Connection) -> str | None:
    """Return the database's version, or None for a new database.

    Raises:
        StoreError: If this version of Evergreen does not know the version.
    """
    version = MigrationContext.configure(connection).get_current_revision()
    if version is not None and version not in KNOWN:
        raise StoreError(
            f"an event store of version {KNOWN[-1]} or earlier",
            received=f"version {version}, which a later Evergreen wrote",
            action="Start that version of Evergreen, or restore the backup made before it.",
        )
    return version


@contextmanager
def _lock(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction that excludes other migrations."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
        yield connection
        connection.commit()


def _steps(heads: str | tuple[str, ...], _context: Any) -> list[MigrationStep]:
    """Return the steps that follow `heads`."""
    known = RevisionMap(
        lambda: [Script(version, version.revision, str(version.__file__)) for version in VERSIONS]
    )
    done = KNOWN.index(heads[0]) + 1 if heads else 0
    scripts = [known.get_revision(name) for name in KNOWN[done:]]
    return [
        MigrationStep.upgrade_from_script(known, script)
        for script in scripts
        if isinstance(script, Script)
    ]

"""A database is brought to this version before it is used, by one process at a time.

Design choices:

- Alembic without its folder of scripts, template and .ini: the steps are a list of modules.
- All steps are one transaction, under the database's own lock: a process that is killed half-way
  leaves the database as it was, and of two that start at once the second finds nothing to do.
- A database that a later version wrote is refused: this version would not keep what it does not
  know.
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
# Any number will do that no other program uses on the same PostgreSQL database.
LOCK = 6_720_411_977


def migrate(engine: sa.Engine) -> None:
    """Bring the database to this version; one without tables gets them.

    Raises:
        StoreError: A later version of Evergreen wrote it.
        DBAPIError: The database does not do it now.
    """
    with engine.connect() as connection:
        if current(connection) == KNOWN[-1]:
            return
    with _alone(engine) as connection:
        current(connection)
        context = MigrationContext.configure(
            connection, opts={"fn": _steps, "transactional_ddl": True}
        )
        with Operations.context(context):
            context.run_migrations()


def current(connection: sa.Connection) -> str | None:
    """Return the database's version, None when it has none yet.

    Raises:
        StoreError: This version of Evergreen does not know it.
    """
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in KNOWN:
        raise StoreError(
            f"an event store of version {KNOWN[-1]} or earlier",
            received=f"version {found}, which a later Evergreen wrote",
            action="Start that version of Evergreen, or restore the backup made before it.",
        )
    return found


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction that no other process can migrate beside."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
        yield connection
        connection.commit()


def _steps(heads: str | tuple[str, ...], _context: Any) -> list[MigrationStep]:
    """Return what is still to be done after `heads`."""
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

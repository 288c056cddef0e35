"""The Ibis connection: in-process DuckDB by default, another Ibis backend by URL.

Inside the engine, timestamps are UTC without a time zone; `fetch` adds the zone.
"""

from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.contracts.errors import SourceError

if TYPE_CHECKING:
    from ibis import Table
    from ibis.backends import BaseBackend


def connect(url: str = "duckdb://") -> "BaseBackend":
    """Return an Ibis backend for `url`.

    Args:
        url: An Ibis connection URL; `duckdb://` is an in-memory DuckDB.

    Raises:
        SourceError: If the backend is not installed or does not respond.
    """
    import ibis

    try:
        backend = ibis.connect(url)
        if backend.name == "duckdb":
            backend.raw_sql("SET TimeZone = 'UTC'")  # the default is the machine's zone
    except Exception as error:
        scheme = url.split("://", 1)[0]
        raise SourceError(
            "a reachable Ibis backend for collection.engine",
            received=f"{scheme}:// ({type(error).__name__}: {error})",
            action=f"Correct the URL, or install it: `uv add 'ibis-framework[{scheme}]'`.",
        ) from error
    return backend


def materialise(table: "Table") -> "Table":
    """Run a lazy expression once and return its rows as a table of the engine.

    Raises:
        SourceError: If the engine cannot read the data.
    """
    from ibis.util import gen_name

    backend = table.get_backend()
    try:
        return backend.create_table(
            gen_name("evergreen"), table, temp=backend.supports_temporary_tables
        )
    except Exception as error:
        raise _unreadable(error) from error


def fetch(table: "Table") -> pa.Table:
    """Run a lazy expression and return its rows; timestamps are UTC with microseconds.

    Raises:
        SourceError: If the engine cannot read the data.
    """
    try:
        rows = table.to_pyarrow()
    except Exception as error:
        raise _unreadable(error) from error
    utc = pa.timestamp("us", tz="UTC")
    fields = [
        pa.field(field.name, utc if pa.types.is_timestamp(field.type) else field.type)
        for field in rows.schema
    ]
    return rows.cast(pa.schema(fields))


def _unreadable(error: Exception) -> SourceError:
    return SourceError(
        "readable data behind collection.source",
        received=f"{type(error).__name__}: {str(error).splitlines()[0]}",
        action="Check that the files are complete and have the types that the mapping expects.",
    )

"""Files as lazy tables, checked before the engine reads them for clearer errors."""

import codecs
import gzip
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pipeline.contracts.errors import SourceError
from pipeline.runtime.sql_engine import materialise

if TYPE_CHECKING:
    from ibis import Table
    from ibis.backends import BaseBackend
    from ibis.expr.types import TimestampColumn

FORMATS = (".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
SHOWN_BYTES = 80
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def open_file(backend: "BaseBackend", path: Path, encoding: str = "utf-8") -> "Table":
    """Return the rows of a Parquet or text file as a lazy table.

    Args:
        backend: The engine.
        path: A file of one of `FORMATS`, in any case; a text file finds its own delimiter.
        encoding: Of a text file: utf-8, utf-16 or latin-1. A mark of UTF-16 in the file decides.

    Raises:
        SourceError: If the file is missing, empty, truncated, or of another format or encoding.
    """
    if not path.is_file():
        raise SourceError(
            f"the file '{path}'",
            received="no such file",
            action="Correct collection.source in params.yaml, or put the file there.",
        )
    name = path.name.lower()
    if not name.endswith(FORMATS):
        raise SourceError(
            f"a Parquet or CSV file at '{path}'",
            received=f"a name that ends in '{path.suffix}'",
            action=f"Export it in one of {', '.join(FORMATS)}.",
        )
    try:
        if not name.endswith(".parquet"):
            # DuckDB 2.0 moves a try_cast into the reader, where it fails instead of giving null.
            return materialise(
                backend.read_csv(str(path), **_text_options(backend, path, encoding))
            )
        _check_parquet(path)
        return backend.read_parquet(str(path))
    except Exception as error:
        if "not utf-8 encoded" in str(error):
            raise _other_encoding(path) from error
        raise SourceError(
            f"a complete, readable file at '{path}'",
            received=f"{type(error).__name__}: {' '.join(str(error).splitlines()[:2])}",
            action="Export or copy it again; it may be damaged or truncated.",
        ) from error


def _text_options(backend: "BaseBackend", path: Path, encoding: str) -> dict[str, bool | str]:
    """Return options that read every column as text: a guessed type would reject other values."""
    if backend.name != "duckdb":
        return {"header": True}
    with path.open("rb") as stream:
        is_utf16 = stream.read(2) in UTF16_MARKS
    return {"all_varchar": True, "encoding": "utf-16" if is_utf16 else encoding}


def _other_encoding(path: Path) -> SourceError:
    """Return the error of a file that is not UTF-8, with its first bytes that are not."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as stream:
        number, line = next(
            (number, line) for number, line in enumerate(stream, start=1) if not _is_utf8(line)
        )
    return SourceError(
        f"text in UTF-8 in '{path}'",
        received=f"{line.rstrip()[:SHOWN_BYTES]!r} in line {number}",
        action="Set `encoding: latin-1`, or `utf-16`, beside the file in collection.source.tables "
        "of params.yaml, or save the file in UTF-8.",
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _check_parquet(path: Path) -> None:
    import pyarrow.parquet as pq

    pq.ParquetFile(path).close()


def check_columns(table: "Table", wanted: list[str], path: Path) -> None:
    """Raise if `table`, read from `path`, lacks one of the columns `wanted`.

    Raises:
        SourceError: If a column is missing; the message lists the columns of the file.
    """
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise SourceError(
            f"the columns {wanted} in '{path}'",
            received=f"{list(table.columns)} (missing: {missing})",
            action="If a column was renamed, map it in collection.source.tables.",
        )


def convert_to_utc(
    column: "TimestampColumn", timezone: str, first: datetime, last: datetime
) -> "TimestampColumn":
    """Return wall-clock times of `timezone` as UTC, on any backend.

    A wall-clock hour that occurs twice, when clocks are set back, counts as its first occurrence.

    Args:
        column: Timestamps without a zone.
        timezone: IANA name.
        first: The earliest wall-clock time in the column.
        last: The latest wall-clock time in the column.
    """
    import ibis

    changes = offset_changes(timezone, first, last)
    if len(changes) == 1:
        return column - ibis.interval(seconds=changes[0][1])
    branches = [
        (column < ibis.literal(until), column - ibis.interval(seconds=seconds))
        for (_, seconds), (until, _) in pairwise(changes)
    ]
    return ibis.cases(*branches, else_=column - ibis.interval(seconds=changes[-1][1]))


def offset_changes(timezone: str, first: datetime, last: datetime) -> list[tuple[datetime, int]]:
    """Return the offsets of `timezone` from UTC in seconds, each with its first wall-clock hour.

    >>> from datetime import datetime
    >>> offset_changes("Europe/Berlin", datetime(2024, 3, 30), datetime(2024, 4, 1))
    [(datetime.datetime(2024, 3, 30, 0, 0), 3600), (datetime.datetime(2024, 3, 31, 3, 0), 7200)]
    """
    zone = ZoneInfo(timezone)
    start = first.replace(minute=0, second=0, microsecond=0)
    changes = [(start, _offset(start, zone))]
    day = start
    while day <= last:
        following = day + timedelta(days=1)
        if _offset(following, zone) != changes[-1][1]:
            hours = [day + timedelta(hours=n) for n in range(1, 25)]
            hour = next(hour for hour in hours if _offset(hour, zone) != changes[-1][1])
            changes.append((hour, _offset(hour, zone)))
        day = following
    return changes


def _offset(wall_clock: datetime, zone: ZoneInfo) -> int:
    offset = wall_clock.replace(tzinfo=zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())

"""The formats that scores are written in: the ending of the file's name says which."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.errors import SourceError

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("score", pa.float32()),
        ("slot", pa.string()),
        ("reasons", pa.list_(pa.string())),
    ]
)
BETWEEN_REASONS = "; "

Write = Callable[[pa.Table], None]
Writer = Callable[[Path], AbstractContextManager[Write]]


@contextmanager
def parquet(path: Path) -> Iterator[Write]:
    """Yield what writes rows of SCHEMA as Parquet."""
    with pq.ParquetWriter(path, SCHEMA) as writer:
        yield writer.write_table


@contextmanager
def comma_separated(path: Path) -> Iterator[Write]:
    """Yield what writes rows of SCHEMA as CSV in UTF-8, the reasons in one cell."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, SCHEMA.names, lineterminator="\n")
        writer.writeheader()

        def write(rows: pa.Table) -> None:
            for row in rows.to_pylist():
                writer.writerow({**row, "reasons": BETWEEN_REASONS.join(row["reasons"])})

        yield write


@contextmanager
def json_lines(path: Path) -> Iterator[Write]:
    """Yield what writes rows of SCHEMA as one JSON object per line."""
    with path.open("w", encoding="utf-8", newline="\n") as stream:

        def write(rows: pa.Table) -> None:
            stream.writelines(
                f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows.to_pylist()
            )

        yield write


WRITERS: dict[str, Writer] = {
    ".parquet": parquet,
    ".csv": comma_separated,
    ".jsonl": json_lines,
}


def writer_of(path: Path) -> Writer:
    """Return the writer for a file's name.

    Raises:
        SourceError: Its ending names none.
    """
    try:
        return WRITERS[path.suffix.lower()]
    except KeyError:
        raise SourceError(
            f"a name that ends in {', '.join(WRITERS)} for the scores",
            received=f"'{path}'",
            action="Give --out such a name, for example scores.csv.",
        ) from None

"""The file formats of scores, chosen by the suffix of the file's name."""

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
REASON_SEPARATOR = "; "

Write = Callable[[pa.Table], None]
Writer = Callable[[Path], AbstractContextManager[Write]]


@contextmanager
def open_parquet(path: Path) -> Iterator[Write]:
    """Yield a function that writes rows of SCHEMA as Parquet."""
    with pq.ParquetWriter(path, SCHEMA) as writer:
        yield writer.write_table


@contextmanager
def open_csv(path: Path) -> Iterator[Write]:
    """Yield a function that writes rows of SCHEMA as CSV in UTF-8, with the reasons in one cell."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, SCHEMA.names, lineterminator="\n")
        writer.writeheader()

        def write(rows: pa.Table) -> None:
            for row in rows.to_pylist():
                writer.writerow({**row, "reasons": REASON_SEPARATOR.join(row["reasons"])})

        yield write


@contextmanager
def open_json_lines(path: Path) -> Iterator[Write]:
    """Yield a function that writes rows of SCHEMA as one JSON object per line."""
    with path.open("w", encoding="utf-8", newline="\n") as stream:

        def write(rows: pa.Table) -> None:
            stream.writelines(
                f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows.to_pylist()
            )

        yield write


WRITERS: dict[str, Writer] = {
    ".parquet": open_parquet,
    ".csv": open_csv,
    ".jsonl": open_json_lines,
}


def choose_writer(path: Path) -> Writer:
    """Return the writer for a file.

    Raises:
        SourceError: No writer exists for the suffix.
    """
    try:
        return WRITERS[path.suffix.lower()]
    except KeyError:
        raise SourceError(
            f"an output file that ends in {', '.join(WRITERS)}",
            received=f"'{path}'",
            action="Choose another --out, for example scores.csv.",
        ) from None

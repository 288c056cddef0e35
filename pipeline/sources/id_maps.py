"""Id maps of renames: CSV files with the columns `old` and `new`."""

import csv
from pathlib import Path

import pyarrow as pa

from pipeline.contracts.errors import SourceError
from pipeline.contracts.schemas import ID_RULE, is_id

COLUMNS = ["old", "new"]


def read_id_map(path: Path) -> pa.Table:
    """Return the columns `old` and `new` of a map; ids are text, and each old id occurs once.

    Raises:
        SourceError: If the file is missing, not UTF-8 or lacks a column, if an id is invalid, or
            if an old id has two new ones.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except FileNotFoundError as error:
        raise SourceError(
            f"the id map '{path}' of collection.corrections",
            received="no such file",
            action="Put a CSV with the columns old,new there, or remove the correction.",
        ) from error
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise SourceError(
            f"a CSV in UTF-8 at '{path}'",
            received=f"{type(error).__name__}: {error}",
            action="Save it again with the columns old,new.",
        ) from error
    if header != COLUMNS:
        raise SourceError(
            f"the header 'old,new' in '{path}'",
            received=repr(",".join(header)),
            action="Correct the header.",
        )
    new_ids: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        if row:
            _check_row(row, new_ids, path, number)
            new_ids[row[0]] = row[1]
    columns = list(new_ids), list(new_ids.values())
    return pa.table([pa.array(values, pa.string()) for values in columns], names=COLUMNS)


def _check_row(row: list[str], new_ids: dict[str, str], path: Path, number: int) -> None:
    if len(row) != len(COLUMNS) or not all(map(is_id, row)):
        raise SourceError(
            f"an old and a new id in line {number} of '{path}', which must each {ID_RULE}",
            received=repr(row),
            action="Correct the line.",
        )
    if new_ids.get(row[0], row[1]) != row[1]:
        raise SourceError(
            f"one new id for each old id in '{path}'",
            received=f"'{row[0]}' as '{new_ids[row[0]]}' and as '{row[1]}' (line {number})",
            action="Remove one of the lines.",
        )

"""Columns of a file as the contract's columns: ids as text, numbers as floats, times in UTC."""

from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.contracts import schemas
from pipeline.contracts.errors import SourceError
from pipeline.contracts.params import ShopParams, SourceParams, TableSource
from pipeline.runtime.sql_engine import materialise
from pipeline.sources.ids import IdFormat, find_id_format, read_ids
from pipeline.sources.numbers import NumberFormat, find_number_format, read_numbers
from pipeline.sources.times import TIMESTAMP, TimeFormat, find_format, read_times

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import BooleanValue, Column, Value

DEFAULTS: dict[str, object] = {
    "event_type": "purchase",
    "quantity": 1.0,
    "discount": 0.0,
    "store_fraction": 1.0,
}
UNREAD = "unread"
"""The column with the raw values of a row that are no valid numbers or times; null without any."""
NO_VALUE = ("", "na", "n/a", "nan", "nat", "none", "null")
"""Texts that stand for a missing number or time, in lower case."""
N_EXAMPLES = 3

Formats = dict[str, TimeFormat | NumberFormat | IdFormat]
"""How each column of a table is read, by its contract name."""


def own_name(mapping: TableSource, column: str) -> str:
    """Return the file's name of a contract column."""
    return mapping.columns.get(column, column)


def find_formats(
    table: "Table",
    schema: schemas.Table,
    mapping: TableSource,
    source: SourceParams,
    shop: ShopParams,
) -> Formats:
    """Return how the ids, times and numbers of a file are written.

    Raises:
        SourceError: If nothing tells whether day or month comes first, or the decimal sign.
    """
    formats: Formats = {}
    for column in schema.columns:
        own, kind = own_name(mapping, column.name), ibis_type(column.dtype)
        if own not in table.columns:
            continue
        if kind == TIMESTAMP:
            formats[column.name] = find_format(table, own, mapping, source, shop)
        elif kind == "float64":
            formats[column.name] = find_number_format(table, own, mapping)
        elif column.is_id:
            formats[column.name] = find_id_format(table, own)
    return formats


def map_columns(
    table: "Table",
    schema: schemas.Table,
    mapping: TableSource,
    formats: Formats,
    shop: ShopParams,
) -> "dict[str, Value]":
    """Return the contract's columns as expressions of a file's table.

    Values that are no valid numbers or times are null.
    """
    import ibis

    columns: dict[str, Value] = {}
    for column in schema.columns:
        own = own_name(mapping, column.name)
        kind = ibis_type(column.dtype)
        if own in table.columns:
            columns[column.name] = _read(table[own], formats.get(column.name), shop)
        elif column.name == "source":
            columns["source"] = ibis.literal(mapping.file)
        else:
            default = DEFAULTS.get(column.name)
            columns[column.name] = ibis.null(kind) if default is None else ibis.literal(default)
    return columns


def _read(
    column: "Column", how: TimeFormat | NumberFormat | IdFormat | None, shop: ShopParams
) -> "Value":
    match how:
        case TimeFormat():
            return read_times(column, how, shop)
        case NumberFormat():
            return read_numbers(column, how)
        case IdFormat():
            return read_ids(column, how)
        case None:
            return column.cast("string")


def read_lines(
    table: "Table",
    schema: schemas.Table,
    mapping: TableSource,
    formats: Formats,
    shop: ShopParams,
    *more: str,
) -> "Table":
    """Return a file's rows in the contract's columns, with `UNREAD` and the columns `more`.

    Args:
        table: Rows of the file.
        schema: The contract of the table.
        mapping: The file's names of columns.
        formats: How time columns are written.
        shop: The section with the time zone.
        more: Columns of `table` that are kept as they are.

    Raises:
        SourceError: If no value of a column of numbers or times can be read.
    """
    import ibis

    columns = map_columns(table, schema, mapping, formats, shop)
    converted = _converted(table, schema, mapping)
    raw = {f"raw_{name}": table[own].cast("string") for name, own in converted}
    rows = table.select(**columns, **raw, **{name: table[name] for name in more})
    unread = ibis.literal("")
    for name, own in converted:
        text = ibis.literal(f", {own} '") + rows[f"raw_{name}"] + ibis.literal("'")
        unread += ibis.ifelse(_is_lost(rows, name), text, "")
    unread = unread.substr(len(", ")).nullif("")
    read = materialise(rows.select(*columns, *more, **{UNREAD: unread, **raw}))  # parse once
    counts = read.aggregate(**{name: read[name].count() for name, _ in converted}).to_pyarrow()
    for name, own in converted:
        if not counts[name][0].as_py():
            _check_not_lost(read, name, own, table[own], mapping)
    return read.drop(*raw)


def _check_not_lost(
    read: "Table", name: str, own: str, column: "Column", mapping: TableSource
) -> None:
    """Raise if a column without a value had some in the file."""
    lost = read.filter(_is_lost(read, name)).select(raw=read[f"raw_{name}"]).distinct()
    raw = lost.order_by("raw").limit(N_EXAMPLES).to_pyarrow()["raw"].to_pylist()
    if not raw:
        return
    is_time = read[name].type().is_timestamp()
    raise SourceError(
        f"{'times' if is_time else 'numbers'} in the column '{own}' of '{mapping.file}'",
        received=f"{column.type()}, of which no value can be read: {', '.join(map(repr, raw))}",
        action=f"Map another column to {name} in collection.source.tables, or export "
        + ("times such as 2024-01-31 18:05:00." if is_time else "numbers such as 1234.50."),
    )


def _converted(
    table: "Table", schema: schemas.Table, mapping: TableSource
) -> list[tuple[str, str]]:
    """Return the contract's and the file's names of the columns that are no text."""
    named = [(c.name, own_name(mapping, c.name), ibis_type(c.dtype)) for c in schema.columns]
    return [(name, own) for name, own, kind in named if own in table.columns and kind != "string"]


def _is_lost(rows: "Table", name: str) -> "BooleanValue":
    """Return a mask of the raw values that are there and could not be read."""
    raw = rows[f"raw_{name}"]
    return rows[name].isnull() & raw.notnull() & raw.strip().lower().notin(NO_VALUE)


def ibis_type(dtype: pa.DataType) -> str:
    """Return the engine's type of a column of the contract."""
    if pa.types.is_timestamp(dtype):
        return TIMESTAMP
    return "string" if pa.types.is_string(dtype) else "float64"

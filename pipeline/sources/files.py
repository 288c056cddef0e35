"""A retailer's own Parquet or CSV files, mapped to the contract's columns by params.yaml.

Only events are required. Without items, the item ids come from the events; without users or offers,
those tables are empty. Values that are not valid numbers or times become null, so that collection
quarantines their rows, with the raw values.
"""

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from pipeline.contracts import schemas
from pipeline.contracts.artefacts import sha256
from pipeline.contracts.errors import SourceError
from pipeline.contracts.params import CollectionParams, ShopParams, SourceParams, TableSource
from pipeline.runtime.sql_engine import connect
from pipeline.sources import Source
from pipeline.sources.columns import (
    Formats,
    find_formats,
    ibis_type,
    map_columns,
    own_name,
    read_lines,
)
from pipeline.sources.held_out import MEMBER, divide_lines, fingerprint
from pipeline.sources.reading import check_columns, open_file
from pipeline.sources.times import end

if TYPE_CHECKING:
    from ibis import Table
    from ibis.backends import BaseBackend
    from ibis.expr.types import Value

Name = Literal["events", "items", "users", "offers"]
REQUIRED: dict[Name, tuple[str, ...]] = {
    "events": ("user_id", "item_id", "timestamp", "price"),
    "items": ("item_id",),
    "users": ("user_id",),
    "offers": ("item_id", "starts", "ends", "kind"),
}
CONTRACT: dict[Name, schemas.Table] = {
    "events": schemas.EVENTS,
    "items": schemas.ITEMS,
    "users": schemas.USERS,
    "offers": schemas.OFFERS,
}
COLLECTED = ("source", "first_seen")
"""Columns that collection fills in."""
LINES: tuple[Name, ...] = ("events", "offers")
"""Tables whose rows are quarantined with their raw values."""


def open_files(params: CollectionParams, shop: ShopParams) -> Source:
    """Open the files that `collection.source` names.

    Raises:
        SourceError: If a file or a column is missing, or a file is damaged, or if no value of a
            column of numbers or times can be read.
    """
    source = params.source
    paths = _paths(source)
    for name in paths:
        _check_mapping(name, source.tables[name])
    backend = connect(params.engine)
    raw = {
        name: open_file(backend, path, source.tables[name].encoding) for name, path in paths.items()
    }
    for name, table in raw.items():
        wanted = [own_name(source.tables[name], column) for column in REQUIRED[name]]
        wanted += source.tables[name].columns.values()
        check_columns(table, sorted(set(wanted)), paths[name])
    formats = {
        name: find_formats(table, CONTRACT[name], source.tables[name], source, shop)
        for name, table in raw.items()
    }
    lines = map_columns(
        raw["events"], schemas.EVENTS, source.tables["events"], formats["events"], shop
    )
    divided = divide_lines(
        raw["events"], lines["timestamp"], lines["store_id"], params.quarantined, shop
    )
    fingerprints = {str(name): sha256(path) for name, path in paths.items()}
    fingerprints["events"] = fingerprint(fingerprints["events"], params.quarantined)
    raw["events"] = divided.retained
    held_out = None
    if divided.held is not None:
        mapping = source.tables["events"]
        held_out = read_lines(
            divided.held, schemas.EVENTS, mapping, formats["events"], shop, MEMBER
        )
    mapped = {name: _mapped(name, raw, source, formats, shop, backend) for name in CONTRACT}
    return Source(
        name="files",
        raw={str(name): table for name, table in raw.items()},
        events=mapped["events"],
        items=mapped["items"].drop("first_seen"),
        users=mapped["users"],
        offers=mapped["offers"],
        fingerprints=fingerprints,
        begins=shop.midnight(source.begins),
        ends=end(source, shop),
        raw_schemas={name: _raw_schema(name, source.tables[name]) for name in raw},
        held_out=held_out,
        read_as=_describe_formats(formats, source),
    )


def _paths(source: SourceParams) -> dict[Name, Path]:
    if "events" not in source.tables:
        raise SourceError(
            "`tables.events` in collection.source for kind 'files'",
            received=f"tables: {sorted(source.tables)}",
            action="Name the events file; see docs/own-data.md.",
        )
    return {name: Path(source.path) / table.file for name, table in source.tables.items()}


def _check_mapping(name: Name, mapping: TableSource) -> None:
    """Raise if a mapping names a column that the contract does not have."""
    known = [column for column in CONTRACT[name].names() if column not in COLLECTED]
    for column in mapping.columns if not CONTRACT[name].extra_columns else ():
        if column not in known:
            near = difflib.get_close_matches(column, known, n=1)
            raise SourceError(
                f"names of {name} in collection.source.tables.{name}.columns: {', '.join(known)}",
                received=f"'{column}'",
                action=f"Write `{near[0]}`." if near else "Correct or remove it.",
            )


def _describe_formats(formats: dict[Name, Formats], source: SourceParams) -> dict[str, str]:
    """Return how columns are read, in words, where their type does not say it."""
    words = {
        f"{name}.{own_name(source.tables[name], column)}": how.describe()
        for name, columns in formats.items()
        for column, how in columns.items()
    }
    return {column: how for column, how in words.items() if how}


def _raw_schema(name: Name, table: TableSource) -> schemas.Table:
    columns = [
        schemas.Column(
            own_name(table, column), pa.null(), CONTRACT[name].column(column).description
        )
        for column in REQUIRED[name]
    ]
    return schemas.Table(name, tuple(columns), extra_columns=True)


def _mapped(
    name: Name,
    raw: "dict[Name, Table]",
    source: SourceParams,
    formats: dict[Name, Formats],
    shop: ShopParams,
    backend: "BaseBackend",
) -> "Table":
    """Return one table in the contract's columns; without a file, a derived or empty table."""
    import ibis

    if name == "items" and name not in raw:
        lines, mapping = raw["events"], source.tables["events"]
        columns = map_columns(lines, schemas.EVENTS, mapping, formats["events"], shop)
        known = lines.select(item_id=columns["item_id"]).distinct()
        known = known.filter(known.item_id.notnull(), ~known.item_id.re_search(schemas.NOT_AN_ID))
        return known.select(**map_columns(known, schemas.ITEMS, TableSource(file=""), {}, shop))
    if name not in raw:
        empty = backend.create_table(f"no_{name}", schema=_ibis_schema(CONTRACT[name]), temp=True)
        return empty.filter(ibis.literal(value=False))
    table, mapping, schema = raw[name], source.tables[name], CONTRACT[name]
    if name in LINES:
        return read_lines(table, schema, mapping, formats[name], shop)
    columns = map_columns(table, schema, mapping, formats[name], shop)
    if schema.extra_columns:
        columns |= _attributes(table, mapping)
    return table.select(**columns)


def _attributes(table: "Table", mapping: TableSource) -> "dict[str, Value]":
    """Return the users' attributes: the mapped columns, or all other columns if none is mapped."""
    own_id = own_name(mapping, "user_id")
    named = {name: own for name, own in mapping.columns.items() if name != "user_id"}
    named = named or {name: name for name in table.columns if name != own_id}
    return {name: table[own].cast("string") for name, own in named.items()}


def _ibis_schema(schema: schemas.Table) -> dict[str, str]:
    return {column.name: ibis_type(column.dtype) for column in schema.columns}

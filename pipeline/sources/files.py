"""A retailer's own Parquet or CSV files, mapped to the contract's columns by params.yaml.

Only events are required. Without items, the item ids come from the events; without users or offers,
those tables are empty. Values that are not valid numbers or times become null, so that collection
quarantines their rows.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from pipeline.contracts import schemas
from pipeline.contracts.artefacts import sha256
from pipeline.contracts.errors import SourceError
from pipeline.contracts.params import CollectionParams, ShopParams, SourceParams, TableSource
from pipeline.runtime.sql_engine import connect
from pipeline.sources import Source
from pipeline.sources.held_out import MEMBER, divide_lines, fingerprint
from pipeline.sources.reading import check_columns, convert_to_utc, open_file

if TYPE_CHECKING:
    from ibis import Table
    from ibis.backends import BaseBackend
    from ibis.expr.types import Column, Value

Name = Literal["events", "items", "users", "offers"]
REQUIRED: dict[Name, tuple[str, ...]] = {
    "events": ("user_id", "item_id", "timestamp", "price"),
    "items": ("item_id",),
    "users": ("user_id",),
    "offers": ("item_id", "starts", "ends", "kind"),
}
DEFAULTS: dict[str, object] = {
    "event_type": "purchase",
    "quantity": 1.0,
    "discount": 0.0,
    "store_fraction": 1.0,
}
CONTRACT: dict[Name, schemas.Table] = {
    "events": schemas.EVENTS,
    "items": schemas.ITEMS,
    "users": schemas.USERS,
    "offers": schemas.OFFERS,
}
TIMESTAMP = "timestamp(6)"
DAYS_AFTER_AS_OF = 366


def open_files(params: CollectionParams, shop: ShopParams) -> Source:
    """Open the files that `collection.source` names.

    Raises:
        SourceError: If a file or a column is missing, or a file is damaged.
    """
    source = params.source
    paths = _paths(source)
    backend = connect(params.engine)
    raw = {name: open_file(backend, path) for name, path in paths.items()}
    for name, table in raw.items():
        wanted = [_own(source.tables[name], column) for column in REQUIRED[name]]
        wanted += source.tables[name].columns.values()
        check_columns(table, sorted(set(wanted)), paths[name])
    fingerprints = {name: sha256(path) for name, path in paths.items()}
    lines = _columns(raw["events"], schemas.EVENTS, source.tables["events"], source, shop)
    divided = divide_lines(
        raw["events"], lines["timestamp"], lines["store_id"], params.quarantined, shop
    )
    raw["events"] = divided.retained
    fingerprints["events"] = fingerprint(fingerprints["events"], params.quarantined)
    mapped = {name: _mapped(name, raw, source, shop, backend) for name in CONTRACT}
    return Source(
        name="files",
        raw={str(name): table for name, table in raw.items()},
        events=mapped["events"],
        items=mapped["items"].drop("first_seen"),
        users=mapped["users"],
        offers=mapped["offers"],
        fingerprints={str(name): value for name, value in fingerprints.items()},
        ends=_end(source, shop),
        raw_schemas={name: _raw_schema(name, source.tables[name]) for name in raw},
        held_out=None if divided.held is None else _map_held(divided.held, source, shop),
    )


def _paths(source: SourceParams) -> dict[Name, Path]:
    if "events" not in source.tables:
        raise SourceError(
            "`tables.events` in collection.source for kind 'files'",
            received=f"tables: {sorted(source.tables)}",
            action="Name the events file; see docs/own-data.md.",
        )
    return {name: Path(source.path) / table.file for name, table in source.tables.items()}


def _own(table: TableSource, column: str) -> str:
    """Return the file's name of a contract column."""
    return table.columns.get(column, column)


def _end(source: SourceParams, shop: ShopParams) -> datetime:
    return shop.midnight(source.ends or shop.as_of + timedelta(days=DAYS_AFTER_AS_OF))


def _raw_schema(name: Name, table: TableSource) -> schemas.Table:
    columns = [
        schemas.Column(_own(table, column), pa.null(), CONTRACT[name].column(column).description)
        for column in REQUIRED[name]
    ]
    return schemas.Table(name, tuple(columns), extra_columns=True)


def _mapped(
    name: Name,
    raw: "dict[Name, Table]",
    source: SourceParams,
    shop: ShopParams,
    backend: "BaseBackend",
) -> "Table":
    """Return one table in the contract's columns; without a file, a derived or empty table."""
    import ibis

    if name == "items" and name not in raw:
        ids = raw["events"][_own(source.tables["events"], "item_id")].cast("string")
        known = raw["events"].select(item_id=ids).distinct()
        known = known.filter(known.item_id.notnull(), ~known.item_id.re_search(schemas.NOT_AN_ID))
        return known.select(**_columns(known, schemas.ITEMS, TableSource(file=""), source, shop))
    if name not in raw:
        empty = backend.create_table(f"no_{name}", schema=_ibis_schema(CONTRACT[name]), temp=True)
        return empty.filter(ibis.literal(value=False))
    table, mapping = raw[name], source.tables[name]
    columns = _columns(table, CONTRACT[name], mapping, source, shop)
    if CONTRACT[name].extra_columns:
        columns |= _attributes(table, mapping)
    return table.select(**columns)


def _map_held(held: "Table", source: SourceParams, shop: ShopParams) -> "Table":
    """Return the lines that are held out in the contract's columns, with the column `MEMBER`."""
    columns = _columns(held, schemas.EVENTS, source.tables["events"], source, shop)
    return held.select(**columns, **{MEMBER: held[MEMBER]})


def _columns(
    table: "Table",
    schema: schemas.Table,
    mapping: TableSource,
    source: SourceParams,
    shop: ShopParams,
) -> "dict[str, Value]":
    import ibis

    columns: dict[str, Value] = {}
    for column in schema.columns:
        own = _own(mapping, column.name)
        kind = _ibis_type(column.dtype)
        if own in table.columns:
            columns[column.name] = _cast(table[own], kind, source, shop)
        elif column.name == "source":
            columns["source"] = ibis.literal(mapping.file)
        else:
            default = DEFAULTS.get(column.name)
            columns[column.name] = ibis.null(kind) if default is None else ibis.literal(default)
    return columns


def _attributes(table: "Table", mapping: TableSource) -> "dict[str, Value]":
    """Return the users' attributes: the mapped columns, or all other columns if none is mapped."""
    own_id = _own(mapping, "user_id")
    named = {name: own for name, own in mapping.columns.items() if name != "user_id"}
    named = named or {name: name for name in table.columns if name != own_id}
    return {name: table[own].cast("string") for name, own in named.items()}


def _cast(column: "Column", kind: str, source: SourceParams, shop: ShopParams) -> "Column":
    if kind != TIMESTAMP:
        return column.cast("string") if kind == "string" else column.try_cast(kind)
    dtype = column.type()
    if dtype.is_numeric():
        raise SourceError(
            f"times in the column '{column.get_name()}'",
            received=str(dtype),
            action="Export them as timestamps or as text such as 2024-01-31 18:05:00.",
        )
    if dtype.is_unknown():  # nanoseconds with a zone, as pandas writes: text keeps the offset
        return column.cast("string").try_cast(TIMESTAMP)
    has_zone = dtype.is_timestamp() and dtype.timezone is not None
    naive = column.cast(TIMESTAMP) if dtype.is_temporal() else column.try_cast(TIMESTAMP)
    if has_zone or source.timestamps_are == "utc":
        return naive
    bounds = naive.as_table().aggregate(first=naive.min(), last=naive.max()).to_pyarrow()
    first, last = bounds["first"][0].as_py(), bounds["last"][0].as_py()
    if first is None:
        return naive
    last = min(last, _end(source, shop).astimezone(UTC).replace(tzinfo=None) + timedelta(days=2))
    return convert_to_utc(naive, shop.timezone, first, last).cast(TIMESTAMP)


def _ibis_type(dtype: pa.DataType) -> str:
    if pa.types.is_timestamp(dtype):
        return TIMESTAMP
    return "string" if pa.types.is_string(dtype) else "float64"


def _ibis_schema(schema: schemas.Table) -> dict[str, str]:
    return {column.name: _ibis_type(column.dtype) for column in schema.columns}

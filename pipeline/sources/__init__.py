"""Sources of raw data: their own tables, and the same data in the contract's columns."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.contracts import schemas
from pipeline.contracts.params import CollectionParams, ShopParams

if TYPE_CHECKING:
    from ibis import Table


@dataclass(frozen=True)
class Source:
    """A source opened through the engine. Tables are lazy Ibis expressions.

    `raw` holds the source's own tables. `events`, `items`, `users` and `offers` hold the data in
    the contract's columns (schemas.py) before cleaning: ids are strings, and timestamps are UTC
    (without a zone inside the engine; `sql_engine.fetch` adds it). `items` lacks `first_seen`,
    which follows from the clean events.

    Attributes:
        ends: The first moment that the source does not cover, UTC; later events are errors.
        raw_schemas: Schema of each raw table.
        fingerprints: sha256 of the file of each raw table.
        not_mapped: Raw tables that are checked but not used.
    """

    name: str
    raw: dict[str, "Table"]
    events: "Table"
    items: "Table"
    users: "Table"
    offers: "Table"
    fingerprints: dict[str, str]
    ends: datetime
    raw_schemas: dict[str, schemas.Table]
    not_mapped: tuple[str, ...] = ()


def open_source(params: CollectionParams, shop: ShopParams) -> Source:
    """Open the source that `collection.source` names.

    Raises:
        SourceError: If a file is missing, truncated or lacks a column.
    """
    if params.source.kind == "completejourney":
        from pipeline.sources import completejourney

        return completejourney.open_package(params, shop)
    from pipeline.sources import files

    return files.open_files(params, shop)

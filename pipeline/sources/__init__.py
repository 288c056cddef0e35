"""Where raw data comes from: a source's own tables, and the same in the contract's columns."""

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

    `raw` holds the source's own tables under their own names. `events`, `items`, `users`,
    `offers` hold them in the contract's columns (schemas.py), before any cleaning: ids are
    strings, timestamps are UTC (without a zone inside the engine; `engine.fetch` adds it), and
    `items.first_seen` is absent because only clean events tell it.

    Attributes:
        ends: The first moment that the source does not cover, UTC; later events are errors.
        raw_schemas: What each raw table must look like.
        fingerprints: The content of each raw table (sha256 of its file).
        not_mapped: Raw tables that are checked but have no place in the contract.
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
        SourceError: A file is missing, truncated or lacks a column.
    """
    if params.source.kind == "completejourney":
        from pipeline.sources import completejourney

        return completejourney.open_package(params, shop)
    from pipeline.sources import files

    return files.open_files(params, shop)

"""Where raw data comes from: a source's own tables, and the same in the contract's columns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.params import CollectionParams, ShopParams

if TYPE_CHECKING:
    from ibis import Table


@dataclass(frozen=True)
class Source:
    """A source opened through the engine. Tables are lazy Ibis expressions.

    `raw` holds the source's own tables under their own names. `events`, `items`, `users`,
    `offers` hold them in the contract's columns (schemas.py), before any cleaning: timestamps are
    UTC, ids are strings. `fingerprints` names the content of each raw table (sha256 of its file).
    """

    name: str
    raw: dict[str, "Table"]
    events: "Table"
    items: "Table"
    users: "Table"
    offers: "Table"
    fingerprints: dict[str, str]


def open_source(params: CollectionParams, shop: ShopParams) -> Source:
    """Open the source that `collection.source` names.

    Raises:
        SourceError: A file is missing, truncated or lacks a column.
    """
    raise NotImplementedError

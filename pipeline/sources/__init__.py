"""Sources of raw data: their own tables, and the same data in the contract's columns."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.contracts import schemas
from pipeline.contracts.params import CollectionParams, ShopParams

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis import Table


@dataclass(frozen=True)
class AppliedCorrection:
    """A declared correction that `open_source` applied.

    Attributes:
        description: The correction in words, without ids of users.
        lines: The lines that it changes or drops, as a lazy table; of a rename, with their old and
            new ids.
        id_map: Columns `old` and `new` of a rename.
    """

    description: str
    lines: "Table"
    id_map: "pa.Table | None" = None


@dataclass(frozen=True)
class Source:
    """A source opened through the engine. Tables are lazy Ibis expressions.

    `raw` holds the source's own tables. `events`, `items`, `users` and `offers` hold the data in
    the contract's columns (schemas.py) before cleaning: ids are strings, and timestamps are UTC
    (without a zone inside the engine; `sql_engine.fetch` adds it). `items` lacks `first_seen`,
    which follows from the clean events. `events` and `offers` of files also have the column
    `unread`: the raw values of a row that are no valid numbers or times.

    Attributes:
        ends: The first moment that the source does not cover, UTC; later events are errors.
        raw_schemas: Schema of each raw table.
        fingerprints: Digest of the file of each raw table, and of what is held out of it.
        not_mapped: Raw tables that are checked but not used.
        begins: The first plausible moment, UTC; earlier events are errors. None: no limit.
        held_out: The lines of `collection.quarantined`, as delivered, in the columns of `events`
            and the column `held_out.MEMBER`; no other table holds them. None without members.
        corrections: The declared corrections in `events`, in order.
        read_as: How columns of files are written, in words.
        user_renames: Old and new ids of users that corrections rename, in order.
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
    begins: datetime | None = None
    held_out: "Table | None" = None
    corrections: tuple[AppliedCorrection, ...] = ()
    read_as: dict[str, str] = field(default_factory=dict)
    user_renames: tuple[tuple[str, str], ...] = ()


def open_source(params: CollectionParams, shop: ShopParams) -> Source:
    """Open the source that `collection.source` names, and apply the declared corrections.

    Raises:
        SourceError: If a file is missing, truncated or lacks a column, or if the id map of a
            correction is missing or damaged.
    """
    from pipeline.sources.corrections import correct_source, prepare

    prepared = prepare(params.corrections)
    return correct_source(_open_as_delivered(params, shop), prepared, shop)


def _open_as_delivered(params: CollectionParams, shop: ShopParams) -> Source:
    if params.source.kind == "completejourney":
        from pipeline.sources import completejourney

        return completejourney.open_package(params, shop)
    from pipeline.sources import files

    return files.open_files(params, shop)

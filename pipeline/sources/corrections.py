"""Declared corrections (`collection.corrections`) as expressions on an opened source.

Design choices:

- Planning and collection both read the corrected lines, because `open_source` corrects.
- A correction sees the lines as the earlier ones leave them, but `from`, `to` and `store_id` select
  by what was delivered: a shift does not move lines out of the days of the next correction.
- A rename of items or users also renames in offers, which it selects by `starts`, and gives the new
  id the description of the old one if it has none of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.contracts.params import (
    Correction,
    Deduplicate,
    DropUsers,
    Rename,
    Scale,
    Shift,
    ShopParams,
)
from pipeline.runtime.sql_engine import materialise
from pipeline.sources import AppliedCorrection, Source
from pipeline.sources.id_maps import read_id_map
from pipeline.sources.selection import is_selected

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import BooleanValue

TIME, STORE = "evergreen_time", "evergreen_store"
"""Columns with what the source delivered, while corrections apply."""
OLD, NEW = "evergreen_old", "evergreen_new"
SAME_LINE = ("user_id", "item_id", "timestamp", "event_type", "quantity", "price", "basket_id")


@dataclass(frozen=True)
class Prepared:
    """A correction, and the id map of a rename."""

    correction: Correction
    id_map: pa.Table | None = None


def prepare(corrections: Sequence[Correction]) -> tuple[Prepared, ...]:
    """Read and check what the corrections need, before any table of the source is read.

    Raises:
        SourceError: If an id map is missing, damaged or ambiguous.
    """
    return tuple(
        Prepared(one, read_id_map(Path(one.file)) if isinstance(one, Rename) else None)
        for one in corrections
    )


def correct_source(source: Source, prepared: Sequence[Prepared], shop: ShopParams) -> Source:
    """Return the source with all corrections applied in order; without any, `source` itself."""
    if not prepared:
        return source
    columns = source.events.columns
    events = source.events.mutate(**{TIME: source.events.timestamp, STORE: source.events.store_id})
    applied: list[AppliedCorrection] = []
    for one in prepared:
        selected = is_selected(events[TIME], events[STORE], one.correction, shop)
        events, lines = _apply(events, selected, one)
        applied.append(AppliedCorrection(one.correction.describe(), lines, one.id_map))
        if isinstance(one.correction, Rename):
            source = _rename_elsewhere(source, one.correction, one.id_map, shop)
    corrected = materialise(events.select(*columns))
    return replace(source, events=corrected, corrections=tuple(applied))


def _apply(
    events: "Table", selected: "BooleanValue", prepared: Prepared
) -> tuple["Table", "Table"]:
    """Return the corrected events, and the lines that the correction changes or drops."""
    import ibis

    match prepared.correction:
        case Scale(column=column, factor=factor):
            touched = selected & events[column].notnull()
            scaled = ibis.ifelse(touched, events[column] * factor, events[column])
            return events.mutate(**{column: scaled}), events.filter(touched)
        case Shift(hours=hours):
            touched = selected & events.timestamp.notnull()
            moved = events.timestamp + ibis.interval(seconds=round(hours * 3600))
            time = ibis.ifelse(touched, moved, events.timestamp)
            return events.mutate(timestamp=time), events.filter(touched)
        case Deduplicate():
            others = [name for name in events.columns if name not in SAME_LINE]
            numbered = events.mutate(
                evergreen_selected=selected,
                evergreen_number=ibis.row_number().over(
                    group_by=[*(events[name] for name in SAME_LINE), selected],
                    order_by=others,
                ),
            )
            repeated = numbered.evergreen_selected & (numbered.evergreen_number > 0)
            lines = events.columns
            return numbered.filter(~repeated).select(*lines), numbered.filter(repeated)
        case DropUsers(users=users):
            dropped = selected & _is_in(events, users)
            return events.filter(~dropped), events.filter(dropped)
        case Rename(column=column):
            assert prepared.id_map is not None
            return _rename(events, selected, column, prepared.id_map)


def _is_in(events: "Table", users: Sequence[str]) -> "BooleanValue":
    import ibis

    return events.user_id.isin(users).fill_null(ibis.literal(value=False))


def _rename(
    table: "Table", selected: "BooleanValue", column: str, id_map: pa.Table
) -> tuple["Table", "Table"]:
    """Return the table with new ids, and its renamed rows with the columns `OLD` and `NEW`."""
    import ibis

    marked = table.mutate(evergreen_selected=selected)
    joined = marked.left_join(_as_table(id_map), [(column, OLD)])
    touched = joined.evergreen_selected & joined[NEW].notnull()
    renamed = joined.mutate(**{column: ibis.ifelse(touched, joined[NEW], joined[column])})
    return renamed.select(*table.columns), joined.filter(touched)


def _as_table(id_map: pa.Table) -> "Table":
    import ibis

    return ibis.memtable(id_map.rename_columns([OLD, NEW]))


def _rename_elsewhere(
    source: Source, rename: Rename, id_map: pa.Table | None, shop: ShopParams
) -> Source:
    """Return the source whose offers and descriptions follow a rename of the events."""
    assert id_map is not None
    offers = source.offers
    if rename.column in offers.columns:
        selected = is_selected(offers.starts, offers.store_id, rename, shop)
        offers, _ = _rename(offers, selected, rename.column, id_map)
    if rename.column == "item_id":
        return replace(source, offers=offers, items=_describe_new(source.items, "item_id", id_map))
    if rename.column == "user_id":
        pairs = zip(id_map["old"].to_pylist(), id_map["new"].to_pylist(), strict=True)
        return replace(
            source,
            users=_describe_new(source.users, "user_id", id_map),
            user_renames=(*source.user_renames, *pairs),
        )
    return replace(source, offers=offers)


def _describe_new(described: "Table", key: str, id_map: pa.Table) -> "Table":
    """Add rows that describe new ids as the first of their old ids, where they have no row."""
    import ibis

    first = id_map.group_by("new").aggregate([("old", "min")])
    missing = _as_table(pa.table({"old": first["old_min"], "new": first["new"]}))
    missing = missing.anti_join(described, missing[NEW] == described[key])
    old = described.distinct(on=key, keep="first")
    copies = old.join(missing, old[key] == missing[OLD])
    copies = copies.mutate(**{key: copies[NEW]}).select(*described.columns)
    return ibis.union(described, copies)

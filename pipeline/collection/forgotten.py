"""Removal of people who asked to be forgotten.

The retailer's files still hold their rows. Collection drops these rows first, and reports only
their number.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.event_store.suppression import SuppressionList
from pipeline.runtime.sql_engine import fetch
from pipeline.sources import Source

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import BooleanValue


@dataclass(frozen=True)
class ForgottenCounts:
    """The numbers of users and events that were dropped for forgotten people."""

    n_users: int
    n_events: int


def drop_forgotten(
    source: Source, suppressed: SuppressionList
) -> tuple[Source, ForgottenCounts | None]:
    """Return the source without forgotten people, and the numbers of dropped rows.

    Args:
        source: Raw tables.
        suppressed: Forgotten people. If the list is empty, the source is returned unchanged.

    Raises:
        SourceError: If the source cannot be read.
    """
    if not len(suppressed):
        return source, None
    lines = [table for table in (source.events, source.held_out) if table is not None]
    ids = {value for table in (*lines, source.users) for value in _user_ids(table)}
    forgotten = sorted(_follow_renames(suppressed.of(ids), source, suppressed))
    if not forgotten:
        return source, ForgottenCounts(0, 0)
    n_events = sum(_count_rows(table.filter(_is_one_of(table, forgotten))) for table in lines)
    events, users = (
        table.filter(~_is_one_of(table, forgotten)) for table in (source.events, source.users)
    )
    held_out = source.held_out
    if held_out is not None:
        held_out = held_out.filter(~_is_one_of(held_out, forgotten))
    without = replace(source, events=events, users=users, held_out=held_out)
    return without, ForgottenCounts(len(forgotten), n_events)


def _follow_renames(forgotten: set[str], source: Source, suppressed: SuppressionList) -> set[str]:
    """Return the ids of forgotten people, with the ids that corrections gave them."""
    everyone = set(forgotten)
    for old, new in source.user_renames:
        if old in everyone or old in suppressed:
            everyone.add(new)
    return everyone


def _count_rows(table: "Table") -> int:
    return int(fetch(table.aggregate(n=table.count()))["n"][0].as_py())


def _user_ids(table: "Table") -> list[str]:
    values = fetch(table.select("user_id").distinct())["user_id"].to_pylist()
    return [value for value in values if value is not None]


def _is_one_of(table: "Table", user_ids: list[str]) -> "BooleanValue":
    """Return a mask of the rows of these users; rows without a user are kept for validation."""
    import ibis

    return table.user_id.isin(user_ids).fill_null(ibis.literal(value=False))

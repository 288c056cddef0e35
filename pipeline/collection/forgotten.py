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
    tables = (source.events, source.users)
    ids = {value for table in tables for value in _user_ids(table)}
    forgotten = sorted(suppressed.of(ids))
    if not forgotten:
        return source, ForgottenCounts(0, 0)
    rows = source.events.filter(_is_one_of(source.events, forgotten))
    n_events = fetch(rows.aggregate(n=rows.count()))["n"][0].as_py()
    events, users = (table.filter(~_is_one_of(table, forgotten)) for table in tables)
    return replace(source, events=events, users=users), ForgottenCounts(len(forgotten), n_events)


def _user_ids(table: "Table") -> list[str]:
    values = fetch(table.select("user_id").distinct())["user_id"].to_pylist()
    return [value for value in values if value is not None]


def _is_one_of(table: "Table", user_ids: list[str]) -> "BooleanValue":
    """Return a mask of the rows of these users; rows without a user are kept for validation."""
    import ibis

    return table.user_id.isin(user_ids).fill_null(ibis.literal(value=False))

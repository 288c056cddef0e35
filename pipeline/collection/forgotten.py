"""The source without the people who asked to be forgotten.

The retailer's own files still hold their rows; here they are left out before anything else, as if
they had never been there. What is told of them is how many they were.
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
class LeftOut:
    """How much of a source belongs to forgotten people."""

    n_users: int
    n_events: int


def without_forgotten(source: Source, suppressed: SuppressionList) -> tuple[Source, LeftOut | None]:
    """Return the source without forgotten people, and how much that left out.

    Args:
        source: As it is.
        suppressed: Who is forgotten; with nobody on it, the source comes back untouched.

    Raises:
        SourceError: The source cannot be read.
    """
    if not len(suppressed):
        return source, None
    tables = (source.events, source.users)
    ids = {value for table in tables for value in _user_ids(table)}
    gone = sorted(suppressed.of(ids))
    if not gone:
        return source, LeftOut(0, 0)
    rows = source.events.filter(_is_one_of(source.events, gone))
    n_events = fetch(rows.aggregate(n=rows.count()))["n"][0].as_py()
    events, users = (table.filter(~_is_one_of(table, gone)) for table in tables)
    return replace(source, events=events, users=users), LeftOut(len(gone), n_events)


def _user_ids(table: "Table") -> list[str]:
    found = fetch(table.select("user_id").distinct())["user_id"].to_pylist()
    return [value for value in found if value is not None]


def _is_one_of(table: "Table", user_ids: list[str]) -> "BooleanValue":
    """Return where a row is of these people; a row of nobody is not, and stays to be judged."""
    import ibis

    return table.user_id.isin(user_ids).fill_null(ibis.literal(value=False))

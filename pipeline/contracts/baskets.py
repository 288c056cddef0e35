"""Which events are one basket: one rule, for the tables of a source and for single events.

Design choices:

- A basket is what was paid together, as `basket_id` says. Without one, a visit (`session_id`) is
  the basket; without both, all that a shopper does on one day of the shop's calendar.
- What is not a purchase and has no `basket_id` belongs to the basket that was paid in its visit.
- A basket is one shopper's: two shoppers on one day have two baskets of one name.
- The store is no part of it: lines of one day that lack it would be baskets of their own.
- Collection gives every event its basket by this rule, planning reads the source by it, and the
  endpoint applies it to what it captures. Nobody else works out a basket.
"""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import StringValue, TimestampColumn

QUARTER = timedelta(minutes=15)  # clocks are changed at a quarter of an hour, in UTC
DAY = timedelta(days=1)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)  # what claims to be older counts as of this offset


def basket_of(
    basket_id: str | None, session_id: str | None, moment: datetime, zone: ZoneInfo
) -> str:
    """Return the basket of one purchase.

    >>> moment = datetime(2024, 3, 1, 2, tzinfo=UTC)
    >>> basket_of(None, None, moment, ZoneInfo("America/New_York"))
    '2024-02-29'
    """
    if basket_id is not None:
        return basket_id
    if session_id is not None:
        return session_id
    return moment.astimezone(zone).date().isoformat()


def with_baskets(events: "Table", timezone: str, ends: datetime) -> "Table":
    """Return the events, each with its basket; a table that names all of them comes back as it is.

    Args:
        events: Columns of schemas.EVENTS.
        timezone: The shop's.
        ends: The first moment that the source does not cover.
    """
    import ibis

    alone = events.filter(events.basket_id.isnull())
    time = alone.timestamp
    bounds = alone.aggregate(n=alone.count(), first=time.min(), last=time.max()).to_pyarrow()
    n, first, last = (bounds[name][0].as_py() for name in ("n", "first", "last"))
    if n == 0:
        return events
    joined = events.left_join(_paid(events), ["user_id", "session_id"])
    joined = joined.drop("user_id_right", "session_id_right")
    paid = ibis.ifelse(joined.event_type != "purchase", joined.paid, ibis.null("string"))
    names = [joined.basket_id, paid, joined.session_id]
    if first is not None:
        span = max(first.replace(tzinfo=UTC), EARLIEST), min(last.replace(tzinfo=UTC), ends)
        names.append(_local_day(joined.timestamp, timezone, *span))
    return joined.mutate(basket_id=ibis.coalesce(*names)).drop("paid")


def _paid(events: "Table") -> "Table":
    """Return per shopper and visit the first basket that was paid in it."""
    import ibis

    bought = events.filter(
        events.event_type == "purchase", events.basket_id.notnull(), events.session_id.notnull()
    )
    place = ibis.row_number().over(
        group_by=["user_id", "session_id"], order_by=["timestamp", "basket_id"]
    )
    first = bought.select("user_id", "session_id", paid=bought.basket_id, place=place)
    return first.filter(first.place == 0).drop("place")


def _local_day(
    column: "TimestampColumn", timezone: str, first: datetime, last: datetime
) -> "StringValue":
    """Return the shop's day of moments in UTC as text, on any backend."""
    import ibis

    changes = offsets(ZoneInfo(timezone), first, last)
    branches = [
        (column < ibis.literal(until.replace(tzinfo=None)), column + ibis.interval(seconds=seconds))
        for (_, seconds), (until, _) in pairwise(changes)
    ]
    latest = column + ibis.interval(seconds=changes[-1][1])
    local = ibis.cases(*branches, else_=latest) if branches else latest
    return local.date().cast("string")


def offsets(zone: ZoneInfo, first: datetime, last: datetime) -> list[tuple[datetime, int]]:
    """Return from which moment on the zone is how many seconds ahead of UTC.

    >>> berlin = offsets(ZoneInfo("Europe/Berlin"), EARLIEST.replace(year=2024), EARLIEST.replace(
    ...     year=2024, month=4))
    >>> [(f"{moment:%m-%d %H:%M}", seconds) for moment, seconds in berlin]
    [('01-01 00:00', 3600), ('03-31 01:00', 7200)]
    """
    moment = first.replace(minute=0, second=0, microsecond=0)
    changes = [(moment, _offset(moment, zone))]
    while moment <= last:
        if _offset(moment + DAY, zone) != changes[-1][1]:
            quarters = [moment + n * QUARTER for n in range(1, DAY // QUARTER + 1)]
            change = next(at for at in quarters if _offset(at, zone) != changes[-1][1])
            changes.append((change, _offset(change, zone)))
        moment += DAY
    return changes


def _offset(moment: datetime, zone: ZoneInfo) -> int:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())

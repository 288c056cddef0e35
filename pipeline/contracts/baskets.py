"""The rule that assigns events to baskets, for tables of a source and for single events.

Design choices:

- A basket holds the items paid together, named by `basket_id`. Without one, a visit (`session_id`)
  is the basket; without both, all events of a user on one day of the shop's calendar.
- An event without a `basket_id` that is no purchase belongs to the basket paid in its visit.
- Baskets belong to one user: two users on one day have two baskets of the same name.
- The store is not part of the rule: it would split a day's lines that lack a store.
- Collection, planning and the endpoint all use this module.
"""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import StringValue, TimestampColumn

QUARTER = timedelta(minutes=15)  # clocks change at a quarter of an hour, in UTC
DAY = timedelta(days=1)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)  # older timestamps get the offset of this moment


def basket_of(
    basket_id: str | None, session_id: str | None, moment: datetime, zone: ZoneInfo
) -> str:
    """Return the basket's name for one purchase.

    >>> moment = datetime(2024, 3, 1, 2, tzinfo=UTC)
    >>> basket_of(None, None, moment, ZoneInfo("America/New_York"))
    '2024-02-29'
    """
    if basket_id is not None:
        return basket_id
    if session_id is not None:
        return session_id
    return moment.astimezone(zone).date().isoformat()


def add_baskets(events: "Table", timezone: str, ends: datetime) -> "Table":
    """Return the events with every `basket_id` filled in.

    Args:
        events: Columns of schemas.EVENTS.
        timezone: IANA name of the shop's time zone.
        ends: The first moment that the source does not cover.
    """
    import ibis

    unnamed = events.filter(events.basket_id.isnull())
    time = unnamed.timestamp
    bounds = unnamed.aggregate(n=unnamed.count(), first=time.min(), last=time.max()).to_pyarrow()
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
    """Return the first basket that was paid, per user and visit."""
    import ibis

    bought = events.filter(
        events.event_type == "purchase", events.basket_id.notnull(), events.session_id.notnull()
    )
    rank = ibis.row_number().over(
        group_by=["user_id", "session_id"], order_by=["timestamp", "basket_id"]
    )
    first = bought.select("user_id", "session_id", paid=bought.basket_id, rank=rank)
    return first.filter(first["rank"] == 0).drop("rank")


def _local_day(
    column: "TimestampColumn", timezone: str, first: datetime, last: datetime
) -> "StringValue":
    """Return the shop's calendar day of UTC timestamps as text, on any backend."""
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
    """Return the zone's offsets from UTC in seconds, each with the moment it starts.

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

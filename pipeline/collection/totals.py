"""Counts over all months of a table."""

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.collection.months import count_baskets

if TYPE_CHECKING:
    from ibis import Table


def compute_totals(events: pa.Table, timezone: str) -> dict[str, Any]:
    """Return counts of the clean events, and their first and last local day."""
    zone = ZoneInfo(timezone)
    span = pc.min_max(events["timestamp"]).as_py()
    return {
        "n_users": pc.count_distinct(events["user_id"]).as_py(),
        "n_items": pc.count_distinct(events["item_id"]).as_py(),
        "n_baskets": count_baskets(events),
        "first": f"{span['min'].astimezone(zone):%Y-%m-%d}",
        "last": f"{span['max'].astimezone(zone):%Y-%m-%d}",
    }


def count_after_departments(events: "Table") -> dict[str, int]:
    """Return the numbers of users, items and baskets outside the dropped departments."""
    retained = events.filter(events.rule.isnull() | (events.rule != "dropped department"))
    counts = retained.aggregate(
        n_users_after_departments=retained.user_id.nunique(),
        n_items_after_departments=retained.item_id.nunique(),
    )
    baskets = retained.select("user_id", "basket_id").drop_null("basket_id").distinct().count()
    return {
        **counts.to_pyarrow().to_pylist()[0],
        "n_baskets_after_departments": baskets.to_pyarrow().as_py(),
    }


def count_unknown_reach(offers: "Table") -> int:
    """Return the number of offers to an audience of unknown size."""
    is_unknown = offers.audience.notnull() & offers.audience_fraction.isnull()
    return int(offers.filter(offers.rule.isnull() & is_unknown).count().to_pyarrow().as_py())

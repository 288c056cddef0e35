"""Counts that need a look at all months of a table."""

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.collection.months import count_baskets

if TYPE_CHECKING:
    from ibis import Table


def totals(events: pa.Table, timezone: str) -> dict[str, Any]:
    """Return how much the clean events hold, and their first and last day in the shop."""
    zone = ZoneInfo(timezone)
    span = pc.min_max(events["timestamp"]).as_py()
    return {
        "n_users": pc.count_distinct(events["user_id"]).as_py(),
        "n_items": pc.count_distinct(events["item_id"]).as_py(),
        "n_baskets": count_baskets(events),
        "first": f"{span['min'].astimezone(zone):%Y-%m-%d}",
        "last": f"{span['max'].astimezone(zone):%Y-%m-%d}",
    }


def counts_after_departments(events: "Table") -> dict[str, int]:
    """Return how many users, items and baskets the dropped departments leave."""
    kept = events.filter(events.rule.isnull() | (events.rule != "dropped department"))
    counts = kept.aggregate(
        n_users_after_departments=kept.user_id.nunique(),
        n_items_after_departments=kept.item_id.nunique(),
    )
    baskets = kept.select("user_id", "basket_id").drop_null("basket_id").distinct().count()
    return {
        **counts.to_pyarrow().to_pylist()[0],
        "n_baskets_after_departments": baskets.to_pyarrow().as_py(),
    }


def count_unknown_reach(offers: "Table") -> int:
    """Return how many offers are made to an audience whose share of the shoppers is not known."""
    is_unknown = offers.audience.notnull() & offers.audience_fraction.isnull()
    return int(offers.filter(offers.rule.isnull() & is_unknown).count().to_pyarrow().as_py())

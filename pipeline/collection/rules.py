"""Rules that drop raw rows: known, harmless kinds that do not reflect a user's taste.

Each rule maps a lazy table to a mask of the rows to drop. A row counts for the first rule that
drops it. The rules do not drop invalid rows: expectations detect those and quarantine them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.contracts.params import CollectionParams

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import BooleanColumn

Rule = Callable[["Table", CollectionParams], "BooleanColumn"]


def is_dropped_department(events: "Table", params: CollectionParams) -> "BooleanColumn":
    """Return a mask of items in a department that is never recommended."""
    return events.department.isin(params.dropped_departments)


def has_no_quantity(events: "Table", params: CollectionParams) -> "BooleanColumn":  # noqa: ARG001
    """Return a mask of purchases of zero units: bookkeeping lines of coupons and corrections."""
    return (events.event_type == "purchase") & (events.quantity == 0)


def has_excessive_quantity(events: "Table", params: CollectionParams) -> "BooleanColumn":
    """Return a mask of quantities above the maximum of a household."""
    return events.quantity > params.maximum_quantity


def is_duplicate(events: "Table", params: CollectionParams) -> "BooleanColumn":  # noqa: ARG001
    """Return a mask of rows that repeat an earlier row in every column."""
    import ibis

    return ibis.row_number().over(group_by=events.columns, order_by=events.item_id) > 0


def is_unknown_item(offers: "Table", params: CollectionParams) -> "BooleanColumn":  # noqa: ARG001
    """Return a mask of offers for an item that is neither listed nor sold."""
    return offers.is_known.isnull()


EVENT_RULES: dict[str, Rule] = {
    "dropped department": is_dropped_department,
    "quantity of zero": has_no_quantity,
    "quantity above the maximum": has_excessive_quantity,
    "exact duplicate": is_duplicate,
}
OFFER_RULES: dict[str, Rule] = {
    "dropped department": is_dropped_department,
    "unknown item": is_unknown_item,
    "exact duplicate": is_duplicate,
}
AMOUNTS = ("quantity", "price", "discount")


def tag_events(events: "Table", items: "Table", params: CollectionParams) -> "Table":
    """Return all events with the column `rule`: the rule that drops the row, or null.

    NaN becomes null first, because expectations check for nulls.

    Args:
        events: Columns of schemas.EVENTS.
        items: `item_id` and `department` of the known items.
        params: The rules' limits.
    """
    import ibis

    finite = {name: ibis.ifelse(events[name].isnan(), None, events[name]) for name in AMOUNTS}
    known = items.select("item_id", "department").distinct(on="item_id", keep="first")
    joined = events.mutate(**finite).left_join(known, "item_id").drop("item_id_right")
    return _tagged(joined, EVENT_RULES, params).drop("department")


def tag_offers(
    offers: "Table", items: "Table", events: "Table", params: CollectionParams
) -> "Table":
    """Return all offers with the column `rule`: the rule that drops the row, or null.

    Args:
        offers: Columns of schemas.OFFERS.
        items: `item_id` and `department` of the listed items.
        events: `item_id` of the items that sold, listed or not.
        params: The rules' limits.
    """
    import ibis

    listed = items.select("item_id", "department").distinct(on="item_id", keep="first")
    sold = events.select("item_id").distinct().anti_join(listed, "item_id")
    known = ibis.union(listed, sold.mutate(department=ibis.null("string")))
    known = known.mutate(is_known=ibis.literal(value=True))
    joined = offers.left_join(known, "item_id").drop("item_id_right")
    return _tagged(joined, OFFER_RULES, params).drop("department", "is_known")


def _tagged(table: "Table", rules: dict[str, Rule], params: CollectionParams) -> "Table":
    import ibis

    return table.mutate(
        rule=ibis.cases(*[(rule(table, params), name) for name, rule in rules.items()])
    )

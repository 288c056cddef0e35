"""Which raw rows are dropped on purpose: known, harmless kinds that say nothing about taste.

Each rule is a function of a lazy table that says which rows it drops. A row counts for the first
rule that drops it. What is wrong rather than unwanted is not dropped here: expectations find it,
and it goes to quarantine.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.contracts.params import CollectionParams

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import BooleanColumn

Rule = Callable[["Table", CollectionParams], "BooleanColumn"]


def dropped_department(events: "Table", params: CollectionParams) -> "BooleanColumn":
    """Return where the item belongs to a department that nobody wants to be recommended."""
    return events.department.isin(params.dropped_departments)


def no_quantity(events: "Table", params: CollectionParams) -> "BooleanColumn":  # noqa: ARG001
    """Return where nothing was bought: bookkeeping lines of coupons and corrections."""
    return (events.event_type == "purchase") & (events.quantity == 0)


def excessive_quantity(events: "Table", params: CollectionParams) -> "BooleanColumn":
    """Return where more was bought than a household does."""
    return events.quantity > params.maximum_quantity


def duplicate(events: "Table", params: CollectionParams) -> "BooleanColumn":  # noqa: ARG001
    """Return where an earlier row is the same in every column."""
    import ibis

    return ibis.row_number().over(group_by=events.columns, order_by=events.item_id) > 0


def unknown_item(offers: "Table", params: CollectionParams) -> "BooleanColumn":  # noqa: ARG001
    """Return where an offer names an item that nobody sells."""
    return offers.is_known.isnull()


EVENT_RULES: dict[str, Rule] = {
    "dropped department": dropped_department,
    "quantity of zero": no_quantity,
    "quantity above the maximum": excessive_quantity,
    "exact duplicate": duplicate,
}
OFFER_RULES: dict[str, Rule] = {
    "dropped department": dropped_department,
    "unknown item": unknown_item,
    "exact duplicate": duplicate,
}
AMOUNTS = ("quantity", "price", "discount")


def tagged_events(events: "Table", items: "Table", params: CollectionParams) -> "Table":
    """Return all events with the column `rule`: the rule that drops the row, or null.

    A number that is not a number becomes null first: expectations look for nulls.

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


def tagged_offers(
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

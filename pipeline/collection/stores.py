"""Aggregation of store offers into offers of the chain.

The model has one calendar for the chain: an offer counts by its share of stores. Equal rows of
several stores become one offer; offers of a store without sales are dropped.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ibis import Table

SAME = ["item_id", "starts", "ends", "kind", "audience", "audience_fraction", "is_counted"]
UNKNOWN, MERGED = "unknown store", "same offer in another store"


def add_store_shares(offers: "Table", events: "Table") -> "Table":
    """Return the offers with `store_fraction` in place of `store_id`, where `rule` is null.

    Args:
        offers: Columns of schemas.OFFERS and `rule`, materialised.
        events: `store_id` of the stores with sales.
    """
    import ibis

    if not offers.store_id.count().to_pyarrow().as_py():
        return offers
    selling = events.filter(events.store_id.notnull()).select("store_id").distinct()
    n_selling = selling.count().to_pyarrow().as_py()
    is_unknown = offers.store_id.notnull() & offers.store_id.notin(selling.store_id)
    known = offers.mutate(
        rule=ibis.cases((offers.rule.isnull() & is_unknown, UNKNOWN), else_=offers.rule)
    )
    counted = known.mutate(is_counted=known.rule.isnull() & known.store_id.notnull())
    alike = ibis.window(group_by=SAME, order_by="store_id")
    ranked = counted.mutate(
        position=ibis.row_number().over(alike), store=ibis.dense_rank().over(alike)
    )
    n_stores = (ranked.store.max().over(group_by=SAME) + 1).cast("float64")
    whole = ranked.mutate(n_stores=n_stores)
    is_first = whole.is_counted & (whole.position == 0)
    return whole.mutate(
        rule=ibis.cases((whole.is_counted & (whole.position > 0), MERGED), else_=whole.rule),
        store_fraction=ibis.cases(
            (is_first, whole.n_stores / max(n_selling, 1)), else_=whole.store_fraction
        ),
        store_id=ibis.cases((is_first, ibis.null("string")), else_=whole.store_id),
    ).select(*offers.columns)

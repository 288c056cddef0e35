"""Offers of single stores become offers of the chain in a share of its stores.

The model has one calendar for the chain: an offer counts by the share of stores that have it. Rows
that say the same for several stores are one offer; what names a store that sells nothing is none.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ibis import Table

SAME = ["item_id", "starts", "ends", "kind", "audience", "audience_fraction", "is_counted"]
UNKNOWN, MERGED = "unknown store", "same offer in another store"


def with_store_shares(offers: "Table", events: "Table") -> "Table":
    """Return the offers without `store_id`s where `rule` is null; their stores are counted.

    Args:
        offers: Columns of schemas.OFFERS and `rule`, materialised.
        events: `store_id` of the stores that sell.
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
    placed = counted.mutate(
        place=ibis.row_number().over(alike), store=ibis.dense_rank().over(alike)
    )
    n_stores = (placed.store.max().over(group_by=SAME) + 1).cast("float64")
    whole = placed.mutate(n_stores=n_stores)
    is_first = whole.is_counted & (whole.place == 0)
    return whole.mutate(
        rule=ibis.cases((whole.is_counted & (whole.place > 0), MERGED), else_=whole.rule),
        store_fraction=ibis.cases(
            (is_first, whole.n_stores / max(n_selling, 1)), else_=whole.store_fraction
        ),
        store_id=ibis.cases((is_first, ibis.null("string")), else_=whole.store_id),
    ).select(*offers.columns)

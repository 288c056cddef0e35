"""What the source holds and what it lacks."""

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from pipeline.contracts.params import Params
from pipeline.contracts.plan import Missing, Profile
from pipeline.planning.estimates import rounded
from pipeline.planning.history import History
from pipeline.planning.outliers import heavy_accounts
from pipeline.planning.reach import repeat_fractions
from pipeline.runtime.sql_engine import fetch
from pipeline.sources import Source

SWITCHED_OFF = {
    "basket_id": "a visit, or else a user's local day, counts as one basket",
    "session_id": "views and carts are not tied to a visit",
    "store_id": "nothing is told apart by store",
    "title": "answers show item ids instead of names",
    "department": "departments are neither dropped nor reported apart",
    "category": "items are not alike by category",
    "type": "items are not alike by type; no repeat share of types",
    "brand": "items are not alike by brand",
    "users": "no groups for the fairness check, no cold start from demographics",
    "offers": "no promotion features; what is on offer is what sold lately",
    "view": "nothing is learned from browsing; the endpoint still captures it",
    "cart": "carts are made from purchases; the endpoint still captures real ones",
}


def profile(source: Source, history: History, params: Params) -> Profile:
    """Return counts, span, repeat shares and gaps of the source."""
    zone = ZoneInfo(params.shop.timezone)
    found = _events(source)
    first, last = _day(found["first"], zone), _day(found["last"], zone)
    users = fetch(source.users.select("user_id").distinct())["user_id"].to_pylist()
    items, types = repeat_fractions(history)
    n_users, n_items, n_baskets = history.n_users(), history.n_items(), len(history.basket_user)
    pairs = len(np.unique(history.user * (n_items + 1) + history.item))
    return Profile(
        source=source.name,
        n_rows={name: _count(table) for name, table in sorted(source.raw.items())},
        first_day=first,
        last_day=last,
        history_days=(min(last, params.shop.as_of) - first).days,
        n_lines=len(history.item),
        n_users=n_users,
        n_items=n_items,
        n_baskets=n_baskets,
        baskets_per_user=rounded(n_baskets / n_users),
        items_per_basket=rounded(len(history.item) / n_baskets),
        repeat_fraction_items=items,
        repeat_fraction_types=types,
        known_user_fraction=rounded(float(np.isin(history.user_ids, users).mean())),
        sparsity=rounded(1 - pairs / (n_users * n_items)),
        event_types=tuple(sorted(found["types"])),
        missing=_missing(found, source, n_known_users=len(users)),
        heavy_accounts=heavy_accounts(history),
    )


def _events(source: Source) -> dict[str, Any]:
    """Return the span, the event types and how many values each optional column has."""
    import ibis

    end = ibis.literal(source.ends.replace(tzinfo=None), "timestamp(6)")
    events = source.events.filter(source.events.timestamp < end)
    optional = ("basket_id", "session_id", "store_id")
    counts = events.group_by("event_type").aggregate(
        first=events.timestamp.min(),
        last=events.timestamp.max(),
        **{name: events[name].count() for name in optional},
    )
    rows = fetch(counts).to_pylist()
    return {
        "types": {row["event_type"] for row in rows if row["event_type"] is not None},
        "first": min(row["first"] for row in rows),
        "last": max(row["last"] for row in rows),
        **{name: sum(row[name] for row in rows) for name in optional},
    }


def _missing(found: dict[str, Any], source: Source, *, n_known_users: int) -> tuple[Missing, ...]:
    names = ("title", "department", "category", "type", "brand")
    filled = source.items.aggregate(**{name: source.items[name].count() for name in names})
    counts = {**found, **fetch(filled).to_pylist()[0], "users": n_known_users}
    counts["offers"] = _has_offers(source)
    counts |= {name: int(name in found["types"]) for name in ("view", "cart")}
    return tuple(
        Missing(name=name, switched_off=effect)
        for name, effect in SWITCHED_OFF.items()
        if not counts[name]
    )


def _has_offers(source: Source) -> bool:
    """Return whether there are offers; those that a source derives are not worked out for it."""
    if "offers" in source.raw:
        return _count(source.raw["offers"]) > 0
    return source.name != "files"


def _count(table: Any) -> int:
    return int(fetch(table.aggregate(n=table.count()))["n"][0].as_py())


def _day(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()

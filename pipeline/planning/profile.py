"""The profile of the source: its size, its span and its gaps."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from pipeline.contracts.params import Params
from pipeline.contracts.plan import Missing, Profile
from pipeline.planning.estimates import round_number
from pipeline.planning.history import History
from pipeline.planning.outliers import build_heavy_accounts
from pipeline.planning.reach import repeat_fractions
from pipeline.runtime.sql_engine import fetch
from pipeline.sources import Source

SWITCHED_OFF = {
    "basket_id": "a visit, or else a user's local day, counts as one basket",
    "session_id": "views and carts are not assigned to a visit",
    "store_id": "no distinction by store",
    "title": "answers show item ids instead of names",
    "department": "departments are neither dropped nor reported separately",
    "category": "no similarity of items by category",
    "type": "no similarity of items by type; no repeat share of types",
    "brand": "no similarity of items by brand",
    "users": "no groups for the fairness check, no cold start from demographics",
    "offers": "no promotion features; items on offer are those that sold recently",
    "view": "models do not learn from views; the endpoint still captures them",
    "cart": "carts are simulated from purchases; the endpoint still captures real ones",
}


def build_profile(source: Source, history: History, params: Params) -> Profile:
    """Return counts, span, repeat shares and gaps of the source."""
    zone = ZoneInfo(params.shop.timezone)
    events = _summarise_events(source)
    first, last = _day(events["first"], zone), _day(events["last"], zone)
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
        baskets_per_user=round_number(n_baskets / n_users),
        items_per_basket=round_number(len(history.item) / n_baskets),
        repeat_fraction_items=items,
        repeat_fraction_types=types,
        known_user_fraction=round_number(float(np.isin(history.user_ids, users).mean())),
        sparsity=round_number(1 - pairs / (n_users * n_items)),
        event_types=tuple(sorted(events["types"])),
        missing=_missing(events, source, n_known_users=len(users)),
        heavy_accounts=build_heavy_accounts(history),
    )


def _summarise_events(source: Source) -> dict[str, Any]:
    """Return the span, the event types and the number of values of each optional column."""
    import ibis

    end = ibis.literal(source.ends.replace(tzinfo=None), "timestamp(6)")
    events = source.events.filter(source.events.timestamp < end)
    if source.begins is not None:
        begins = source.begins.astimezone(UTC).replace(tzinfo=None)
        events = events.filter(events.timestamp >= ibis.literal(begins, "timestamp(6)"))
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


def _missing(events: dict[str, Any], source: Source, *, n_known_users: int) -> tuple[Missing, ...]:
    names = ("title", "department", "category", "type", "brand")
    filled = source.items.aggregate(**{name: source.items[name].count() for name in names})
    counts = {**events, **fetch(filled).to_pylist()[0], "users": n_known_users}
    counts["offers"] = _has_offers(source)
    counts |= {name: int(name in events["types"]) for name in ("view", "cart")}
    return tuple(
        Missing(name=name, switched_off=effect)
        for name, effect in SWITCHED_OFF.items()
        if not counts[name]
    )


def _has_offers(source: Source) -> bool:
    """Return whether the source has offers, without computing offers that it derives."""
    if "offers" in source.raw:
        return _count(source.raw["offers"]) > 0
    return source.name != "files"


def _count(table: Any) -> int:
    return int(fetch(table.aggregate(n=table.count()))["n"][0].as_py())


def _day(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()

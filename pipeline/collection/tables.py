"""The tables of items and users, completed from the clean events."""

import pandas as pd


def complete_items(
    items: pd.DataFrame, first_seen: pd.Series, dropped_departments: tuple[str, ...]
) -> pd.DataFrame:
    """Return the recommendable items, including unlisted items with events, by item_id.

    Args:
        items: Listed items: columns of schemas.ITEMS except `first_seen`.
        first_seen: Time of the first clean event of each item, indexed by item_id.
        dropped_departments: Departments to drop.
    """
    recommendable = items[~items["department"].isin(dropped_departments)].drop_duplicates("item_id")
    unknown = pd.Index(first_seen.index).difference(pd.Index(items["item_id"]))
    everything = pd.concat([recommendable, pd.DataFrame({"item_id": unknown})], ignore_index=True)
    everything = everything.assign(first_seen=everything["item_id"].map(first_seen))
    return everything.sort_values("item_id", ignore_index=True)


def select_redescribed(
    described: pd.DataFrame, key: str, dropped_departments: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Return the rows that contradict an earlier row of the same id.

    Args:
        described: Items or users of the source.
        key: The column of ids.
        dropped_departments: Departments whose rows are ignored.
    """
    rows = described.drop_duplicates()
    if dropped_departments:
        rows = rows[~rows["department"].isin(dropped_departments)]
    return rows[rows.duplicated(key)].dropna(subset=key)


def complete_users(users: pd.DataFrame, active: pd.Index) -> pd.DataFrame:
    """Return one row per user of the source or of the events, by user_id.

    Users without events are kept: their attributes help with cold starts.

    Args:
        users: `user_id` and attributes.
        active: User ids of the clean events.
    """
    known = users.drop_duplicates("user_id")
    unknown = active.difference(pd.Index(known["user_id"]))
    everything = pd.concat([known, pd.DataFrame({"user_id": unknown})], ignore_index=True)
    return everything.sort_values("user_id", ignore_index=True)

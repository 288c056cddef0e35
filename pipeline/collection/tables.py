"""The tables about items and users that follow from the clean events."""

import pandas as pd


def complete_items(
    items: pd.DataFrame, first_seen: pd.Series, dropped_departments: tuple[str, ...]
) -> pd.DataFrame:
    """Return the recommendable items, those that only events name included, by item_id.

    Args:
        items: What the source knows, columns of schemas.ITEMS but `first_seen`.
        first_seen: The first clean event of each item, indexed by item_id.
        dropped_departments: To leave out.
    """
    kept = items[~items["department"].isin(dropped_departments)].drop_duplicates("item_id")
    unknown = pd.Index(first_seen.index).difference(pd.Index(items["item_id"]))
    everything = pd.concat([kept, pd.DataFrame({"item_id": unknown})], ignore_index=True)
    everything = everything.assign(first_seen=everything["item_id"].map(first_seen))
    return everything.sort_values("item_id", ignore_index=True)


def described_again(
    described: pd.DataFrame, key: str, dropped_departments: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Return the rows that describe what an earlier row describes otherwise.

    Args:
        described: What the source knows about items or users.
        key: The column of ids.
        dropped_departments: Nothing is asked of their rows.
    """
    rows = described.drop_duplicates()
    if dropped_departments:
        rows = rows[~rows["department"].isin(dropped_departments)]
    return rows[rows.duplicated(key)].dropna(subset=key)


def complete_users(users: pd.DataFrame, active: pd.Index) -> pd.DataFrame:
    """Return a row per user that the source describes or that events name, by user_id.

    A described user without events is kept: its attributes serve a cold start.

    Args:
        users: `user_id` and attributes.
        active: The user ids of the clean events.
    """
    known = users.drop_duplicates("user_id")
    unknown = active.difference(pd.Index(known["user_id"]))
    everything = pd.concat([known, pd.DataFrame({"user_id": unknown})], ignore_index=True)
    return everything.sort_values("user_id", ignore_index=True)

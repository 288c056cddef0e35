"""Declared corrections, applied to a copy of a window: members of `collection.corrections`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import reduce

import pandas as pd

from pipeline.contracts.repairs import Change, EditParams, FileCopy
from pipeline.monitoring.diagnosis.case import BASKET, Case, Member

# Maps of ids: those that are applied, and those that the last diagnosis proposes.
CORRECTIONS, PROPOSED = "data/corrections", "data/monitoring/proposed"
LINE = ["user_id", "item_id", "timestamp", "quantity", "price"]


def append_corrections(members: Iterable[Member]) -> EditParams:
    """Return the step that declares corrections of the source."""
    return _append("collection.corrections", members)


def append_quarantines(members: Iterable[Member]) -> EditParams:
    """Return the step that holds out days of the source."""
    return _append("collection.quarantined", members)


def append_renames(case: Case, column: str) -> EditParams:
    """Return the step that declares the proposed map of a column's ids as a correction."""
    name = f"{column}-{case.first_day:%Y-%m-%d}.csv"
    member = {"kind": "rename", "column": column, "file": f"{CORRECTIONS}/{name}"}
    step = append_corrections([member | case.between(case.calendar)])
    copied = FileCopy(source=f"{PROPOSED}/{name}", target=f"{CORRECTIONS}/{name}")
    return step.model_copy(update={"files": (copied,)})


def _append(key: str, members: Iterable[Member]) -> EditParams:
    changes = [Change(key=key, operation="append", value=dict(member)) for member in members]
    return EditParams(changes=tuple(changes))


def scale_prices(case: Case, member: Member) -> Case:
    """Return the case with the prices in the scope of a correction multiplied by its factor."""

    def scale(events: pd.DataFrame) -> pd.DataFrame:
        factor = pd.Series(1.0, index=events.index).mask(
            scope(case, events, member), member["factor"]
        )
        return events.assign(price=events["price"] * factor)

    return case.change_window(scale)


def shift_clock(case: Case, member: Member) -> Case:
    """Return the case with the moments in the scope of a correction moved by its hours."""

    def shift(frame: pd.DataFrame) -> pd.DataFrame:
        hours = pd.Series(0.0, index=frame.index).mask(scope(case, frame, member), member["hours"])
        return frame.assign(timestamp=frame["timestamp"] + pd.to_timedelta(hours, unit="h"))

    return case.change_window(shift, shift)


def drop_repeats(case: Case) -> Case:
    """Return the case without exact repeats of a line."""
    return case.change_window(lambda events: events.drop_duplicates(LINE))


def drop_users(case: Case, users: frozenset[str]) -> Case:
    """Return the case without the events and requests of these users."""

    def drop(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[~frame["user_id"].isin(users)]

    return case.change_window(drop, drop)


def rename_users(case: Case, names: Mapping[str, str]) -> Case:
    """Return the case with other user ids."""

    def rename(frame: pd.DataFrame) -> pd.DataFrame:
        users = frame["user_id"]
        return frame.assign(user_id=users.map(names).fillna(users))

    return case.change_window(rename, rename)


def rename_items(case: Case, names: Mapping[str, str]) -> Case:
    """Return the case with other item ids in events, carts and labels."""

    def in_events(events: pd.DataFrame) -> pd.DataFrame:
        items = events["item_id"]
        return events.assign(item_id=items.map(names).fillna(items))

    def in_lists(examples: pd.DataFrame) -> pd.DataFrame:
        lists = {
            name: pd.Series(
                [[names.get(item, item) for item in row] for row in examples[name]],
                index=examples.index,
                dtype=object,
            )
            for name in ("labels", "cart")
        }
        return examples.assign(**lists)

    return case.change_window(in_events, in_lists)


def hold_out(case: Case, member: Member) -> Case:
    """Return the case without the events and requests in the scope of a quarantine."""

    def keep(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[~scope(case, frame, member)]

    return replace(case.change_window(keep, keep), held_out=(*case.held_out, member))


def label_again(case: Case) -> Case:
    """Return the case with a request per basket of its users, labelled with what was bought.

    Requests that are missing get the cart and the columns of no other one.
    """
    users = case.labelled["user_id"].unique()
    baskets = case.now[case.now["user_id"].isin(users)].groupby(BASKET, sort=False)
    examples = baskets.agg(
        timestamp=("timestamp", "min"),
        labels=("item_id", lambda items: sorted(set(items))),
    ).reset_index()
    columns = [name for name in case.labelled if name not in ("labels", "timestamp")]
    others = case.labelled[columns].drop_duplicates(BASKET)
    examples = examples.merge(others, on=BASKET, how="left")
    empty = examples["cart"].isna()
    examples.loc[empty, "cart"] = pd.Series(
        [[] for _ in range(int(empty.sum()))], dtype=object, index=examples.index[empty]
    )
    return replace(case, labelled=examples)


def apply_each(
    correct: Callable[[Case, Member], Case], members: Iterable[Member]
) -> Callable[[Case], Case]:
    """Return the function that applies a correction with each member in turn."""
    return lambda case: reduce(correct, members, case)


def scope(case: Case, frame: pd.DataFrame, member: Member) -> pd.Series:
    """Return whether each row lies in the days and the store of a correction."""
    days = case.local_days(frame["timestamp"])
    inside = pd.Series(True, index=frame.index)  # noqa: FBT003
    if member.get("from") is not None:
        inside &= days >= pd.Timestamp(member["from"])
    if member.get("to") is not None:
        inside &= days < pd.Timestamp(member["to"])
    if member.get("store_id") is not None:
        inside &= frame["store_id"] == member["store_id"]
    return inside

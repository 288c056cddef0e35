"""Which labels are doubtful, and why. A doubt is a question to a person, not a deletion.

Nothing found here changes an example. What a reviewer marks `drop` in data/reviewed/labels.csv
does (see reviews.py), because a large, repeated or free basket is often just what somebody wanted.
"""

from datetime import timedelta

import numpy as np
import pandas as pd

from pipeline.contracts.params import LabelingParams
from pipeline.labeling.examples.baskets import counted_events
from pipeline.labeling.examples.labelling import Baskets
from pipeline.labeling.examples.randomness import hash_ids

REASONS = {
    "bulk": ("keep", "larger than almost all baskets: for a household, or for a business?"),
    "duplicate": ("drop", "the same items by the same shopper minutes before"),
    "automated": ("drop", "a rhythm or a number of baskets that no household has"),
    "heavy account": ("drop", "more purchases than any household has: a guest, or a reseller?"),
    "zero value": ("keep", "nothing was paid: a gift, or an error of the till?"),
    "conflicting sources": ("drop", "sources tell of different quantities or prices"),
}
"""Per reason: what is suggested to the reviewer, and what it means."""

COLUMNS = ["basket", "item_id", "reason", "evidence"]


def find_label_issues(
    found: Baskets,
    events: pd.DataFrame,
    params: LabelingParams,
    timezone: str,
    maximum_user_lines: int | None = None,
) -> pd.DataFrame:
    """Return one row per doubt, ordered by basket, item and reason.

    Args:
        found: All baskets: doubt about those outside the windows is counted too.
        events: schemas.EVENTS, for what each source says.
        params: Where doubt begins.
        timezone: The shop's: a busy day is a local one.
        maximum_user_lines: An account with more lines is doubtful as a whole; None for none.

    Returns:
        basket (position), item_id ("" for the whole basket), reason, evidence.
    """
    parts = [
        _bulk(found, params),
        _duplicates(found, params),
        _automated(found, params, timezone),
        _heavy(found, maximum_user_lines),
        _zero_value(found),
        _conflicts(found, events, params),
    ]
    doubts = pd.concat([part for part in parts if len(part)] or parts[:1])
    return doubts.sort_values(COLUMNS, ignore_index=True)


def bulk_limits(baskets: pd.DataFrame, quantile: float) -> tuple[float, float]:
    """Return the number of items, and of units, beyond which a basket is bulk."""
    bought = baskets[baskets["n_purchases"] > 0]
    limits = bought[["n_items", "quantity"]].quantile(quantile, interpolation="higher")
    return float(limits["n_items"]), float(limits["quantity"])


def _bulk(found: Baskets, params: LabelingParams) -> pd.DataFrame:
    most_items, most_units = bulk_limits(found.baskets, params.bulk_quantile)
    baskets = found.baskets
    large = baskets[(baskets["n_items"] > most_items) | (baskets["quantity"] > most_units)]
    evidence = [
        f"{row.n_items} items, {row.quantity:g} units "
        f"({params.bulk_quantile:.1%} of baskets have at most {most_items:g} and {most_units:g})"
        for row in large.itertuples()
    ]
    return _doubts(large["basket"], "bulk", evidence)


def _duplicates(found: Baskets, params: LabelingParams) -> pd.DataFrame:
    hashes = hash_ids(pd.Series(found.names))[found.lines["item"].to_numpy()]
    contents = np.add.reduceat(
        hashes, np.cumsum(found.baskets["n_items"]) - found.baskets["n_items"]
    )
    baskets = found.baskets.assign(contents=contents)
    baskets = baskets.sort_values(["user_id", "contents", "n_items", "timestamp", "basket_id"])
    before = baskets.groupby(["user_id", "contents", "n_items"], sort=False)[
        ["timestamp", "basket_id"]
    ].shift()
    gap = baskets["timestamp"] - before["timestamp"]
    again = (gap <= timedelta(minutes=params.duplicate_minutes)).to_numpy()
    evidence = [
        f"basket {other} had the same {n} items {wait.total_seconds() / 60:.1f} minutes before"
        for n, other, wait in zip(
            baskets["n_items"][again], before["basket_id"][again], gap[again], strict=True
        )
    ]
    return _doubts(baskets["basket"][again], "duplicate", evidence)


def _automated(found: Baskets, params: LabelingParams, timezone: str) -> pd.DataFrame:
    """Return the baskets of too busy days, and all baskets that come too evenly."""
    bought = found.baskets[found.baskets["n_purchases"] > 0]
    bought = bought.sort_values(["user_id", "timestamp"], kind="stable")
    days = bought["timestamp"].dt.tz_convert(timezone).dt.tz_localize(None).dt.normalize()
    n = bought.groupby([bought["user_id"], days.rename("day")])["basket"].transform("size")
    busy = n > params.automated_baskets_per_day
    shown = [f"{k} baskets on {day:%Y-%m-%d}" for k, day in zip(n[busy], days[busy], strict=True)]
    even = evenly_spaced(bought, params)
    theirs = bought[bought["user_id"].isin(even.index)]
    parts = pd.concat(
        [
            _doubts(bought["basket"][busy], "automated", shown),
            _doubts(theirs["basket"], "automated", even.reindex(theirs["user_id"]).tolist()),
        ]
    )
    together = parts.groupby(["basket", "item_id", "reason"])["evidence"].agg("; ".join)
    return together.reset_index()


def evenly_spaced(bought: pd.DataFrame, params: LabelingParams) -> pd.Series:
    """Return, per user whose baskets come too evenly, what shows it.

    Args:
        bought: user_id and timestamp of baskets, ordered by both.
        params: How much the gaps must vary, and how many baskets are a rhythm.
    """
    gaps = bought.groupby("user_id")["timestamp"].diff().dt.total_seconds()
    rhythm = gaps.groupby(bought["user_id"]).agg(["mean", "std", "count"])
    rhythm = rhythm[rhythm["count"] + 1 >= params.automated_minimum_baskets]
    variation = rhythm["std"] / rhythm["mean"]
    even = variation[variation < params.automated_interval_variation]
    shown = [
        f"gaps between {count + 1} baskets vary by {value:.3f} of their mean"
        for count, value in zip(rhythm["count"].reindex(even.index), even, strict=True)
    ]
    return pd.Series(shown, index=even.index, dtype="object")


def _heavy(found: Baskets, maximum: int | None) -> pd.DataFrame:
    """Return the baskets inside the windows of accounts with more lines than `maximum`."""
    lines = found.baskets.groupby("user_id")["n_items"].transform("sum")
    doubtful = (lines > (np.inf if maximum is None else maximum)) & (found.baskets["window"] >= 0)
    evidence = [f"the account bought {n:,} lines" for n in lines[doubtful]]
    return _doubts(found.baskets["basket"][doubtful], "heavy account", evidence)


def _zero_value(found: Baskets) -> pd.DataFrame:
    free = found.lines[(found.lines["n_purchases"] > 0) & (found.lines["value"] <= 0)]
    evidence = [f"{quantity:g} units for nothing" for quantity in free["quantity"]]
    return _doubts(free["basket"], "zero value", evidence, free["item_id"])


def _conflicts(found: Baskets, events: pd.DataFrame, params: LabelingParams) -> pd.DataFrame:
    if events["source"].nunique() < 2:  # noqa: PLR2004  one source cannot contradict itself
        return _doubts(pd.Series(dtype="int64"), "conflicting sources", [])
    bought = counted_events(events, params)
    bought = bought[bought["event_type"] == "purchase"]
    bought = bought.assign(value=bought["quantity"] * bought["price"])
    keys = ["user_id", "basket_id", "item_id"]
    told = bought.groupby([*keys, "source"], as_index=False)[["quantity", "value"]].sum()
    told = told.round({"quantity": 6, "value": 6})
    spread = told.groupby(keys).agg(
        quantities=("quantity", "nunique"), values=("value", "nunique"), sources=("source", list)
    )
    differ = spread[(spread["quantities"] > 1) | (spread["values"] > 1)].reset_index()
    lines = found.lines[[*["user_id", "item_id", "basket"]]].assign(
        basket_id=found.baskets["basket_id"].to_numpy()[found.lines["basket"]]
    )
    conflicting = lines.merge(differ, on=keys)
    evidence = [f"{', '.join(names)} differ" for names in conflicting["sources"]]
    items = conflicting["item_id"]
    return _doubts(conflicting["basket"], "conflicting sources", evidence, items)


def _doubts(
    baskets: pd.Series, reason: str, evidence: list[str], items: pd.Series | str = ""
) -> pd.DataFrame:
    frame = pd.DataFrame({"basket": baskets.to_numpy()})
    return frame.assign(
        item_id=items if isinstance(items, str) else items.to_numpy(),
        reason=reason,
        evidence=evidence,
    )

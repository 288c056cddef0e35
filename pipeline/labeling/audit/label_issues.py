"""Find label issues: doubtful labels and the reasons for the doubt.

A label issue does not change an example, because a large, repeated or free basket is often a real
one. A reviewer decides: `drop` in data/reviewed/labels.csv removes a label (see reviews.py).
"""

from datetime import timedelta

import numpy as np
import pandas as pd

from pipeline.contracts.params import LabelingParams
from pipeline.labeling.examples.baskets import select_counted
from pipeline.labeling.examples.labelling import Baskets
from pipeline.labeling.examples.randomness import hash_ids

REASONS = {
    "bulk": ("keep", "larger than almost all baskets: for a household or a business?"),
    "duplicate": ("drop", "the same items by the same shopper minutes before"),
    "automated": ("drop", "a rhythm or a number of baskets unusual for a household"),
    "heavy account": ("drop", "more purchases than any household: a guest or a reseller?"),
    "zero value": ("keep", "nothing was paid: a gift or an error of the till?"),
    "conflicting sources": ("drop", "sources report different quantities or prices"),
}
"""Suggested decision and meaning of each reason."""

COLUMNS = ["basket", "item_id", "reason", "evidence"]


def find_label_issues(
    source: Baskets,
    events: pd.DataFrame,
    params: LabelingParams,
    timezone: str,
    maximum_user_lines: int | None = None,
) -> pd.DataFrame:
    """Return one row per label issue, ordered by basket, item and reason.

    Args:
        source: All baskets, those outside the windows included.
        events: schemas.EVENTS, to compare the sources.
        params: Thresholds of the issues.
        timezone: Time zone of the shop, for baskets per day.
        maximum_user_lines: Lines above which a whole account is doubtful; None for no limit.

    Returns:
        basket (position), item_id ("" for the whole basket), reason, evidence.
    """
    parts = [
        _bulk(source, params),
        _duplicates(source, params),
        _automated(source, params, timezone),
        _heavy(source, maximum_user_lines),
        _zero_value(source),
        _conflicts(source, events, params),
    ]
    issues = pd.concat([part for part in parts if len(part)] or parts[:1])
    return issues.sort_values(COLUMNS, ignore_index=True)


def bulk_limits(baskets: pd.DataFrame, quantile: float) -> tuple[float, float]:
    """Return the number of items and of units above which a basket is bulk."""
    bought = baskets[baskets["n_purchases"] > 0]
    limits = bought[["n_items", "quantity"]].quantile(quantile, interpolation="higher")
    return float(limits["n_items"]), float(limits["quantity"])


def _bulk(source: Baskets, params: LabelingParams) -> pd.DataFrame:
    most_items, most_units = bulk_limits(source.baskets, params.bulk_quantile)
    baskets = source.baskets
    large = baskets[(baskets["n_items"] > most_items) | (baskets["quantity"] > most_units)]
    evidence = [
        f"{row.n_items} items, {row.quantity:g} units "
        f"({params.bulk_quantile:.1%} of baskets have at most {most_items:g} and {most_units:g})"
        for row in large.itertuples()
    ]
    return _build_issues(large["basket"], "bulk", evidence)


def _duplicates(source: Baskets, params: LabelingParams) -> pd.DataFrame:
    hashes = hash_ids(pd.Series(source.names))[source.lines["item"].to_numpy()]
    contents = np.add.reduceat(
        hashes, np.cumsum(source.baskets["n_items"]) - source.baskets["n_items"]
    )
    baskets = source.baskets.assign(contents=contents)
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
    return _build_issues(baskets["basket"][again], "duplicate", evidence)


def _automated(source: Baskets, params: LabelingParams, timezone: str) -> pd.DataFrame:
    """Return the baskets of too busy days, and those of users with too regular baskets."""
    bought = source.baskets[source.baskets["n_purchases"] > 0]
    bought = bought.sort_values(["user_id", "timestamp"], kind="stable")
    days = bought["timestamp"].dt.tz_convert(timezone).dt.tz_localize(None).dt.normalize()
    n = bought.groupby([bought["user_id"], days.rename("day")])["basket"].transform("size")
    busy = n > params.automated_baskets_per_day
    shown = [f"{k} baskets on {day:%Y-%m-%d}" for k, day in zip(n[busy], days[busy], strict=True)]
    even = evenly_spaced(bought, params)
    their_baskets = bought[bought["user_id"].isin(even.index)]
    parts = pd.concat(
        [
            _build_issues(bought["basket"][busy], "automated", shown),
            _build_issues(
                their_baskets["basket"],
                "automated",
                even.reindex(their_baskets["user_id"]).tolist(),
            ),
        ]
    )
    together = parts.groupby(["basket", "item_id", "reason"])["evidence"].agg("; ".join)
    return together.reset_index()


def evenly_spaced(bought: pd.DataFrame, params: LabelingParams) -> pd.Series:
    """Return the evidence of each user whose baskets are too regular.

    Args:
        bought: user_id and timestamp of baskets, ordered by both.
        params: Minimum variation of the gaps, and minimum number of baskets.
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


def _heavy(source: Baskets, maximum: int | None) -> pd.DataFrame:
    """Return the baskets in the windows of accounts with more than `maximum` lines."""
    lines = source.baskets.groupby("user_id")["n_items"].transform("sum")
    doubtful = (lines > (np.inf if maximum is None else maximum)) & (source.baskets["window"] >= 0)
    evidence = [f"the account bought {n:,} lines" for n in lines[doubtful]]
    return _build_issues(source.baskets["basket"][doubtful], "heavy account", evidence)


def _zero_value(source: Baskets) -> pd.DataFrame:
    free = source.lines[(source.lines["n_purchases"] > 0) & (source.lines["value"] <= 0)]
    evidence = [f"{quantity:g} units for nothing" for quantity in free["quantity"]]
    return _build_issues(free["basket"], "zero value", evidence, free["item_id"])


def _conflicts(source: Baskets, events: pd.DataFrame, params: LabelingParams) -> pd.DataFrame:
    if events["source"].nunique() < 2:  # noqa: PLR2004  one source cannot contradict itself
        return _build_issues(pd.Series(dtype="int64"), "conflicting sources", [])
    bought = select_counted(events, params)
    bought = bought[bought["event_type"] == "purchase"]
    bought = bought.assign(value=bought["quantity"] * bought["price"])
    keys = ["user_id", "basket_id", "item_id"]
    by_source = bought.groupby([*keys, "source"], as_index=False)[["quantity", "value"]].sum()
    by_source = by_source.round({"quantity": 6, "value": 6})
    spread = by_source.groupby(keys).agg(
        quantities=("quantity", "nunique"), values=("value", "nunique"), sources=("source", list)
    )
    differ = spread[(spread["quantities"] > 1) | (spread["values"] > 1)].reset_index()
    lines = source.lines[[*["user_id", "item_id", "basket"]]].assign(
        basket_id=source.baskets["basket_id"].to_numpy()[source.lines["basket"]]
    )
    conflicting = lines.merge(differ, on=keys)
    evidence = [f"{', '.join(names)} differ" for names in conflicting["sources"]]
    items = conflicting["item_id"]
    return _build_issues(conflicting["basket"], "conflicting sources", evidence, items)


def _build_issues(
    baskets: pd.Series, reason: str, evidence: list[str], items: pd.Series | str = ""
) -> pd.DataFrame:
    frame = pd.DataFrame({"basket": baskets.to_numpy()})
    return frame.assign(
        item_id=items if isinstance(items, str) else items.to_numpy(),
        reason=reason,
        evidence=evidence,
    )

"""Prices arrive in another unit or currency, in all stores or in some.

Each line's price is compared with the median price of its item before the window. The typical
ratio is 1 in a healthy shop: most items keep their price from one month to the next.
"""

import numpy as np
import pandas as pd

from pipeline.monitoring.diagnosis.case import Case, Member
from pipeline.monitoring.diagnosis.corrections import append_corrections, apply_each, scale_prices
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion

MINIMUM_ITEM_LINES = 3
MINIMUM_LINES = 200  # of a store
MINIMUM_DAY_LINES = 20  # several days in a row must agree
# Days in a row, and the weight of their smallest ratio: a feast may move prices for a day or two.
RUNS = {2: 0.5, 4: 1.0}
# The factors of units; an estimate this close to one of them is one of them.
UNITS = (0.001, 0.01, 0.1, 10.0, 100.0, 1000.0)
UNIT_TOLERANCE = 0.03


def measure_prices(case: Case) -> float:
    """Return the largest absolute log ratio of several days in a row, or of a store's week."""
    ratios = compute_ratios(case)
    return max(_measure_runs(ratios), *map(float, _by_store(case, ratios).abs()), 0.0)


def _measure_runs(ratios: pd.DataFrame) -> float:
    """Return the largest absolute log ratio of several days in a row."""
    days = _by_day(ratios).abs()
    runs = [days.rolling(n).min().max() * weight for n, weight in RUNS.items()]
    return max((float(value) for value in runs if not np.isnan(value)), default=0.0)


def compute_ratios(case: Case) -> pd.DataFrame:
    """Return `ratio` of each line with a known item, with its `day` and `store`.

    A ratio is the log of the price over the item's median price before the window, minus the same
    of the store's lines before the window: some stores are dearer than others.
    """
    before, now = (events[events["price"] > 0] for events in (case.before, case.now))
    items = before.groupby("item_id")["price"].agg(["median", "size"])
    usual = np.log(items.loc[items["size"] >= MINIMUM_ITEM_LINES, "median"])
    store_ids = [f["store_id"].fillna("") if "store_id" in f else "" for f in (before, now)]
    earlier = pd.DataFrame(
        {"ratio": np.log(before["price"]) - before["item_id"].map(usual), "store": store_ids[0]}
    ).dropna()
    of_store = earlier.groupby("store")["ratio"].median()
    ratios = pd.DataFrame(
        {
            "ratio": np.log(now["price"]) - now["item_id"].map(usual),
            "store": store_ids[1],
            "day": case.local_days(now["timestamp"]),
        }
    ).dropna(subset=["ratio"])
    return ratios.assign(ratio=ratios["ratio"] - ratios["store"].map(of_store).fillna(0.0))


def explain_prices(case: Case, bound: float) -> Suspicion | None:
    """Return the factor of the prices, and the days and stores where it applies."""
    ratios = compute_ratios(case)
    if _measure_runs(ratios) > bound:
        members = [_member(case, ratios, bound)]
    else:
        stores = _by_store(case, ratios).abs().groupby("store").max()
        members = [
            _member(case, ratios[ratios["store"] == store], bound) | {"store_id": store}
            for store in stores.index[stores > bound]
        ]
    factor = 1 / float(members[0]["factor"])
    return Suspicion(
        phase="collection",
        because=f"the typical item costs {factor:.3g} times what it did before{_where(members)}",
        action="Correct the unit or the currency at the source, or declare the factor under "
        "collection.corrections in params.yaml.",
        steps=(append_corrections(members),),
        undo=apply_each(scale_prices, members),
    )


def _member(case: Case, ratios: pd.DataFrame, bound: float) -> Member:
    """Return the correction of the days whose prices are off."""
    days = _by_day(ratios, minimum=MINIMUM_LINES // 20)
    off = days.index[days.abs() > bound]
    if off.empty:  # a small store has few lines a day
        off = pd.Index(ratios["day"].unique())
    ratio = ratios.loc[ratios["day"].isin(off), "ratio"].median()
    factor = _round_to_unit(float(np.exp(-ratio)))
    return {"kind": "scale", "column": "price", "factor": factor} | case.between(off)


def _round_to_unit(factor: float) -> float:
    near = (unit for unit in UNITS if abs(factor / unit - 1) < UNIT_TOLERANCE)
    return next(near, float(f"{factor:.4g}"))


def _by_day(ratios: pd.DataFrame, minimum: int = MINIMUM_DAY_LINES) -> pd.Series:
    return _medians(ratios, "day", minimum)


def _by_store(case: Case, ratios: pd.DataFrame) -> pd.Series:
    """Return the ratio of each store in the window, and in each week of it, by store and week."""
    in_stores = ratios[ratios["store"] != ""].assign(week=-1)
    weekly = in_stores.assign(week=(in_stores["day"] - case.first_day).dt.days // 7)
    return _medians(pd.concat([in_stores, weekly]), ["store", "week"], MINIMUM_LINES)


def _medians(ratios: pd.DataFrame, columns: str | list[str], minimum: int) -> pd.Series:
    groups = ratios.groupby(columns)["ratio"]
    return groups.median()[groups.size() >= minimum]


def _where(members: list[Member]) -> str:
    stores = [str(member["store_id"]) for member in members if "store_id" in member]
    where = f" in {len(stores)} stores, such as {stores[0]}" if stores else ""
    return f"{where}, since {members[0]['from']}"


UNIT_CHANGE = Cause(
    name="unit_change",
    statistic="absolute log ratio of the typical price to that before",
    measure=measure_prices,
    explain=explain_prices,
    floor=0.08,
    factor=2.0,
)

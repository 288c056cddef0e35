"""Group events into baskets and compute the relevance of their items.

Design choices:

- Collection defines baskets (pipeline/contracts/baskets.py): purchases paid together, and the
  views and carts of the same visit if they count.
- A return cancels the latest purchase of that item by that user, if it comes within the horizon
  and before the label window closes. Later returns are unknown at that time.
- Cancelled or dropped labels stay in the purchase history.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.params import LabelingParams
from pipeline.labeling.examples.windows import Window

LINE_COLUMNS = ["user_id", "item_id", "timestamp", "event_type", "quantity", "price", "basket_id"]
LINE_COLUMNS += ["store_id", "source"]


def build_basket_lines(events: pd.DataFrame, params: LabelingParams) -> pd.DataFrame:
    """Return one row per basket and item of the events that count, ordered by basket and item.

    Args:
        events: schemas.EVENTS.
        params: Weights of event types.

    Returns:
        user_id, basket_id, item_id, timestamp (first), weight (largest), quantity and value
        (sums over purchases), n_purchases, store_id (of the first), returned_at (NaT if kept).
    """
    counted = select_counted(events, params)
    bought = counted["event_type"] == "purchase"
    counted = counted.assign(
        value=(counted["quantity"] * counted["price"]).where(bought, 0.0),
        quantity=counted["quantity"].where(bought, 0.0),
        n_purchases=bought.astype("int64"),
    )
    keys = ["user_id", "basket_id", "item_id"]
    counted = counted.sort_values(["timestamp", "store_id"], kind="stable")
    lines = counted.groupby(keys, sort=True, as_index=False).agg(
        timestamp=("timestamp", "first"),
        weight=("weight", "max"),
        quantity=("quantity", "sum"),
        value=("value", "sum"),
        n_purchases=("n_purchases", "sum"),
        store_id=("store_id", "first"),
    )
    return lines.assign(returned_at=_returned_at(lines, events, params))


def select_counted(events: pd.DataFrame, params: LabelingParams) -> pd.DataFrame:
    """Return the events with a positive weight, with the column `weight`."""
    weight = events["event_type"].map(params.event_weights).fillna(0.0).astype("float64")
    return events.assign(weight=weight)[weight > 0]


def _returned_at(lines: pd.DataFrame, events: pd.DataFrame, params: LabelingParams) -> pd.Series:
    """Return the first return of each line within the horizon, matched to the latest purchase."""
    returns = events.loc[events["event_type"] == "return", ["user_id", "item_id", "timestamp"]]
    nothing = pd.Series(pd.NaT, index=lines.index, dtype=lines["timestamp"].dtype)
    if returns.empty or params.event_weights.get("return", 0.0) == 0:
        return nothing
    bought = lines.loc[lines["n_purchases"] > 0, ["user_id", "item_id", "timestamp"]]
    bought = bought.rename_axis("line").reset_index().sort_values("timestamp", kind="stable")
    matched = pd.merge_asof(
        returns.assign(returned_at=returns["timestamp"]).sort_values("timestamp", kind="stable"),
        bought,
        on="timestamp",
        by=["user_id", "item_id"],
        tolerance=pd.Timedelta(days=params.horizon_days),
    ).dropna(subset="line")
    first = matched.groupby(matched["line"].astype("int64"))["returned_at"].min()
    return nothing.where(~nothing.index.isin(first.index), first.reindex(nothing.index))


def build_baskets(lines: pd.DataFrame) -> pd.DataFrame:
    """Return one row per basket in the order of `lines`.

    Returns:
        user_id, basket_id, timestamp (of its first line), store_id, n_items, quantity,
        n_purchases and n_earlier_baskets: earlier baskets of the user with a purchase.
    """
    by_basket = lines.sort_values(["user_id", "basket_id", "timestamp", "item_id"], kind="stable")
    baskets = by_basket.groupby(["user_id", "basket_id"], sort=False, as_index=False).agg(
        timestamp=("timestamp", "first"),
        store_id=("store_id", "first"),
        n_items=("item_id", "size"),
        quantity=("quantity", "sum"),
        n_purchases=("n_purchases", "sum"),
    )
    counts = count_earlier(baskets, baskets["user_id"], baskets["timestamp"])
    return baskets.assign(n_earlier_baskets=counts)


def count_earlier(
    baskets: pd.DataFrame, user_ids: pd.Series, moments: pd.Series
) -> npt.NDArray[np.int32]:
    """Return the number of each user's baskets with a purchase strictly before each moment."""
    bought = baskets[baskets["n_purchases"] > 0]
    users = pd.Index(np.unique(bought["user_id"].to_numpy(dtype=object)))
    starts = np.unique(_microseconds(bought["timestamp"]))
    width = len(starts) + 1
    known = users.get_indexer(bought["user_id"].to_numpy(dtype=object)).astype(np.int64) * width
    keys = np.sort(known + np.searchsorted(starts, _microseconds(bought["timestamp"])))
    user_codes = users.get_indexer(user_ids.to_numpy(dtype=object)).astype(np.int64)
    until = user_codes * width + np.searchsorted(starts, _microseconds(moments), side="left")
    counts = np.searchsorted(keys, until) - np.searchsorted(keys, user_codes * width)
    return np.where(user_codes >= 0, counts, 0).astype(np.int32)


def _microseconds(moments: pd.Series) -> npt.NDArray[np.int64]:
    micros = moments.astype("datetime64[us, UTC]").astype("int64")
    return np.asarray(micros, dtype=np.int64)


def assign_windows(baskets: pd.DataFrame, windows: Sequence[Window]) -> npt.NDArray[np.int64]:
    """Return the position of the window that each basket begins in, -1 for none."""
    numbers = np.full(len(baskets), -1, dtype=np.int64)
    for number, window in enumerate(windows):
        inside = (baskets["timestamp"] >= window.cutoff) & (baskets["timestamp"] < window.ends)
        numbers[inside.to_numpy()] = number
    return numbers


def compute_relevance(
    lines: pd.DataFrame, closes: pd.Series, params: LabelingParams
) -> npt.NDArray[np.float64]:
    """Return the relevance of each line, 0 if it is cancelled or too late.

    Args:
        lines: From `build_basket_lines`.
        closes: End of each line's label window.
        params: Weight of a return.
    """
    returned = (lines["returned_at"] < closes).to_numpy()
    weight = lines["weight"].to_numpy() + returned * params.event_weights.get("return", 0.0)
    in_time = (lines["timestamp"] < closes).to_numpy()
    return np.where(in_time, np.maximum(weight, 0.0), 0.0)

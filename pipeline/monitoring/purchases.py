"""The purchases that followed each request, by labeling's definition of baskets and labels.

Design choices:

- A request is joined with the first basket of its user that begins at the request or later, within
  the longest of `monitoring.horizons_days`: labeling's first-basket protocol, with the request as
  its cut-off. A request made at the start of a basket gets the labels of the rolling protocol.
- Labels are those known at the end of the period: later lines and returns are ignored.
- Simultaneous requests of one user get simultaneous baskets, one each, if that many begin then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.params import LabelingParams, ShopParams
from pipeline.labeling.examples.baskets import (
    assign_windows,
    build_basket_lines,
    build_baskets,
    compute_relevance,
    count_earlier,
)
from pipeline.labeling.examples.selection import select_rolling
from pipeline.labeling.examples.windows import Window

MICROSECONDS_PER_DAY = 86_400e6
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KnownBaskets:
    """The baskets of all users as known at the end of a period.

    Attributes:
        baskets: From `build_baskets`, with `wanted`: whether a label remains.
        item: [n_lines] item id of each label line, ordered by basket and item.
        row_splits: [n_baskets + 1] start of each basket's label lines.
        n_expected: Baskets of the period that labeling would make examples of.
    """

    baskets: pd.DataFrame
    item: npt.NDArray[np.object_]
    row_splits: Longs
    n_expected: int

    def items(self, basket: int) -> list[str]:
        """Return the labels of a basket, in lexical order; none for -1."""
        if basket < 0:
            return []
        return list(self.item[self.row_splits[basket] : self.row_splits[basket + 1]])


def find_baskets(
    events: pd.DataFrame, since: datetime, until: datetime, params: LabelingParams, shop: ShopParams
) -> KnownBaskets:
    """Return the baskets in `events`.

    Args:
        events: schemas.EVENTS before `until`, of all time.
        since: Start of the period.
        until: End of the period.
        params: Labeling's definition of labels.
        shop: Seed of labeling's draw of baskets of very busy accounts.
    """
    lines = build_basket_lines(events, params)
    closes = pd.Series(pd.Timestamp(until), index=lines.index)
    is_label = compute_relevance(lines, closes, params) > 0
    baskets = build_baskets(lines)
    number = np.repeat(np.arange(len(baskets)), baskets["n_items"])
    n_labels = np.bincount(number[is_label], minlength=len(baskets))
    window = Window("production", since, until, until)
    baskets = baskets.assign(
        basket=np.arange(len(baskets)),
        window=assign_windows(baskets, [window]),
        wanted=n_labels > 0,
    )
    return KnownBaskets(
        baskets=baskets,
        item=lines["item_id"].to_numpy(dtype=object)[is_label],
        row_splits=np.concatenate([[0], np.cumsum(n_labels)]).astype(np.int64),
        n_expected=len(select_rolling(baskets, [window], params, shop.seed)),
    )


def join_purchases(requests: pd.DataFrame, known: KnownBaskets, horizon_days: int) -> pd.DataFrame:
    """Return the requests with the basket that followed each.

    Args:
        requests: user_id and timestamp.
        known: The baskets.
        horizon_days: Maximum days from a request to its basket.

    Returns:
        The requests with `basket` (position in `known.baskets`, -1 for none), `basket_id`,
        `label_delay_days` (from the request to the start of the basket, NaN for none) and
        `n_earlier_baskets`.
    """
    wanted = known.baskets[known.baskets["wanted"]]
    wanted = wanted.sort_values(["user_id", "timestamp", "basket_id"], kind="stable")
    position = _first_at_or_after(requests, wanted)
    began = np.append(_microseconds(wanted["timestamp"]), 0)  # the last entry stands for none
    delay = (began[position] - _microseconds(requests["timestamp"])) / MICROSECONDS_PER_DAY
    is_followed = (position >= 0) & (delay <= horizon_days)
    basket = np.full(len(requests), -1, dtype=np.int64)
    basket[is_followed] = wanted["basket"].to_numpy()[position[is_followed]]
    names = np.array([*known.baskets["basket_id"], None], dtype=object)
    earlier = count_earlier(known.baskets, requests["user_id"], requests["timestamp"])
    return requests.assign(
        basket=basket,
        basket_id=names[basket],
        label_delay_days=np.where(is_followed, delay, np.nan),
        n_earlier_baskets=earlier,
    )


def select_labels(
    baskets: Sequence[int], carts: Sequence[Sequence[str]], known: KnownBaskets
) -> list[list[str]]:
    """Return the labels of each request: the items of its basket without those of its cart.

    Args:
        baskets: Position of each request's basket, -1 for none.
        carts: Items in the cart at each request.
        known: The baskets.
    """
    return [
        [item for item in known.items(basket) if item not in cart]
        for basket, cart in zip(baskets, carts, strict=True)
    ]


def _first_at_or_after(requests: pd.DataFrame, wanted: pd.DataFrame) -> Longs:
    """Return the position in `wanted` of each request's basket, -1 for none."""
    if wanted.empty:
        return np.full(len(requests), -1, dtype=np.int64)
    users = pd.Index(wanted["user_id"].unique())
    began, asked = _microseconds(wanted["timestamp"]), _microseconds(requests["timestamp"])
    moments = np.unique(began)
    width = len(moments) + 1
    owner = users.get_indexer(pd.Index(wanted["user_id"])).astype(np.int64)
    keys = owner * width + np.searchsorted(moments, began)
    user = users.get_indexer(pd.Index(requests["user_id"])).astype(np.int64)
    first = np.searchsorted(keys, user * width + np.searchsorted(moments, asked))
    is_known = (user >= 0) & (first < len(keys))
    is_known &= owner[np.minimum(first, len(keys) - 1)] == user
    number = requests.groupby(["user_id", "timestamp"]).cumcount().to_numpy()
    padded = np.append(keys, -1)  # no key is -1
    other = np.minimum(first + number, len(keys))
    is_simultaneous = padded[other] == padded[first]
    return np.where(is_known, np.where(is_simultaneous, other, first), -1)


def _microseconds(moments: pd.Series) -> Longs:
    return np.asarray(moments.astype("datetime64[us, UTC]").astype("int64"), dtype=np.int64)

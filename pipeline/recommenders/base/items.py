"""Item state at a cut-off: sales, repeat purchases and offers.

Every graph holds these values as constants. They are frozen at the cut-off, so that a model sees
the same kind of values in training (at several past cut-offs) and in serving.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.recommenders.base.histories import Floats, Histories
from pipeline.recommenders.base.vocabulary import Ints
from pipeline.recommenders.base.wall_clock import DAY, to_seconds

STATE = (
    "bought_7",
    "bought_28",
    "bought_ever",
    "repeat_fraction",
    "median_gap",
    "trend",
    "usual_price",
)
KINDS = ("mailer", "display", "coupon", "price cut")
PRIOR_REPEAT, PRIOR_USERS = 0.3, 5.0
DEFAULT_GAP_DAYS, DEFAULT_PRICE = 40.0, 1.0
WEEK = 7 * DAY
EPOCH_MONDAY = 4 * DAY  # 1970-01-05
BEFORE_FIRST_SALE = 2 * WEEK  # a request looks one week back
AFTER_CUTOFF = 26 * WEEK  # a model that is older than half a year knows no current offers


@dataclass(frozen=True)
class ItemState:
    """Statistics per item index at a cut-off; row 0 is the out-of-vocabulary bucket.

    Attributes:
        values: [n_items, 7] in the order of STATE; counts as log(1 + n), the price in the
            shop's currency per unit.
        popularity: [n_items] recent purchases, ties broken by all purchases.
    """

    values: Floats
    popularity: npt.NDArray[np.float64]


@dataclass(frozen=True)
class OfferWeeks:
    """Share of stores that promote each item, per week of the shop (Monday to Sunday).

    Attributes:
        first_week: Week of the second row, counted from 1970-01-05; the outer rows are empty.
        table: [n_weeks, n_items, n_kinds] share of stores in units of 1/255.
    """

    first_week: int
    table: npt.NDArray[np.uint8]


def compute_item_state(
    histories: Histories, n_items: int, cutoff: float, *, popular_days: int
) -> ItemState:
    """Return the item statistics of the purchases before `cutoff` (seconds since 1970)."""
    known = histories.known_from < cutoff
    item = histories.item[known]
    age = (cutoff - histories.time[known]) / DAY
    counts = {
        days: np.bincount(item[age <= days], minlength=n_items).astype(float)
        for days in (7, 28, popular_days, 84)
    }
    ever = np.bincount(item, minlength=n_items).astype(float)
    repeat, gap = _repeats(histories, known, n_items)
    trend = np.log1p(counts[28]) - np.log1p((counts[84] - counts[28]) / 2)
    price = _medians(item, histories.price[known], n_items, default=DEFAULT_PRICE)
    columns = [np.log1p(counts[7]), np.log1p(counts[28]), np.log1p(ever), repeat, gap, trend, price]
    popularity = counts[popular_days] + ever / (ever.max(initial=0) + 1)
    popularity[0] = 0.0
    return ItemState(np.stack(columns, axis=1).astype(np.float32), popularity)


def _repeats(
    histories: Histories, known: npt.NDArray[np.bool_], n_items: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return per item the smoothed share of repeat buyers, and their median gap in days."""
    user = np.repeat(np.arange(len(histories.user_ids)), np.diff(histories.row_splits))[known]
    item, time = histories.item[known], histories.time[known]
    starts = np.flatnonzero(np.diff(user, prepend=-1) | np.diff(item, prepend=-1))
    counts = np.diff(starts, append=len(item))
    oldest = time[starts + counts - 1] if len(starts) else time
    buyers = item[starts]
    again = counts > 1
    n_buyers = np.bincount(buyers, minlength=n_items)
    n_again = np.bincount(buyers[again], minlength=n_items)
    gaps = ((time[starts] - oldest) / DAY)[again] / (counts[again] - 1)
    gap = _medians(buyers[again], gaps, n_items, default=DEFAULT_GAP_DAYS)
    repeat = (n_again + PRIOR_REPEAT * PRIOR_USERS) / (n_buyers + PRIOR_USERS)
    return repeat, gap


def _medians(
    item: Ints, values: npt.NDArray[Any], n_items: int, *, default: float
) -> npt.NDArray[np.float64]:
    """Return [n_items] the median per item, `default` for items without values."""
    medians = pd.Series(values).groupby(item).median()
    filled = np.full(n_items, default)
    filled[medians.index.to_numpy(dtype=np.int64)] = medians.to_numpy()
    return filled


def build_offer_weeks(
    offers: pd.DataFrame, items: pd.Series, timezone: str, *, first_sale: float, cutoff: float
) -> OfferWeeks:
    """Return the offers by week; a week counts as promoted if the offer covers its middle.

    Offers are clipped to the time from BEFORE_FIRST_SALE before the first sale to AFTER_CUTOFF
    after the cut-off. An offer to some users is weighted by their share, 0 if it is unknown.

    Args:
        offers: schemas.OFFERS.
        items: Item ids in vocabulary order.
        timezone: Time zone of the shop.
        first_sale: Seconds since 1970.
        cutoff: Seconds since 1970; the first unknown moment.
    """
    index = pd.Series(np.arange(1, len(items) + 1), index=items.to_numpy())
    known = _within(offers, first_sale - BEFORE_FIRST_SALE, cutoff + AFTER_CUTOFF)
    known = known[known["item_id"].isin(index.index)]
    if not len(known):
        return OfferWeeks(0, np.zeros((2, len(items) + 1, len(KINDS)), dtype=np.uint8))
    first, last = _weeks_of(known, timezone)
    n_weeks = int(last.max() - first.min())
    table = np.zeros((n_weeks + 2, len(items) + 1, len(KINDS)), dtype=np.uint8)
    position = index.reindex(known["item_id"]).to_numpy()
    kind = known["kind"].map({name: at for at, name in enumerate(KINDS)}).to_numpy()
    share = np.ceil(known["store_fraction"].to_numpy() * _reach(known) * 255).astype(np.uint8)
    for step in range(int((last - first).max())):
        running = first + step < last
        place = ((first + step - first.min() + 1)[running], position[running], kind[running])
        np.maximum.at(table, place, share[running])
    return OfferWeeks(int(first.min()), table)


def _within(offers: pd.DataFrame, since: float, until: float) -> pd.DataFrame:
    """Return the offers that overlap the interval, clipped to it."""
    first, last = (pd.Timestamp(at, unit="s", tz="UTC").as_unit("us") for at in (since, until))
    running = offers[(offers["ends"] > first) & (offers["starts"] < last)]
    return running.assign(
        starts=running["starts"].mask(running["starts"] < first, first),
        ends=running["ends"].mask(running["ends"] > last, last),
    )


def _reach(offers: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the share of users that each offer addresses."""
    everybody = offers["audience"].isna().astype("float64")
    share = offers["audience_fraction"].astype("float64").fillna(everybody)
    return np.asarray(share, dtype=np.float64)


def _weeks_of(
    offers: pd.DataFrame, timezone: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return each offer's first week and the week after its last, counted from 1970-01-05."""
    starts, ends = (
        to_seconds(moments.dt.tz_convert(timezone).dt.tz_localize(None).dt.tz_localize("UTC"))
        - EPOCH_MONDAY
        for moments in (offers["starts"], offers["ends"])
    )
    first = np.ceil((starts - WEEK / 2) / WEEK).astype(np.int64)
    last = np.ceil((ends - WEEK / 2) / WEEK).astype(np.int64)
    is_short = last <= first
    first = np.where(is_short, np.floor(starts / WEEK).astype(np.int64), first)
    return first, np.where(is_short, first + 1, last)


def encode_classes(items: pd.DataFrame, column: str) -> tuple[Ints, int]:
    """Return the class code of each item index (0 = unknown), and the number of codes."""
    codes = pd.factorize(items[column], sort=True)[0] + 1
    return np.concatenate([[0], codes]).astype(np.int32), int(codes.max(initial=0)) + 1

"""What a model is asked: raw purchase histories up to a moment, flat, in one layout.

Training, testing and serving build their requests with this module, so that a model sees the same
numbers everywhere. Design choices:

- Lines of all requests lie behind each other; `row_splits` says where each request's lines begin.
  No padding, no cap: a heavy buyer's whole history is used.
- Lines of one request are ordered by item, then from the latest to the oldest. One item's
  purchases are then one run of lines, which the graph finds by comparing neighbours.
- Nothing is normalised here. Ages are days before the request; all features are in the graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.recommenders.wall_clock import hours_of_week

if TYPE_CHECKING:
    from datetime import datetime

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Seconds = npt.NDArray[np.float64]

OUT_OF_VOCABULARY = 0
DAY = 86_400.0


@dataclass(frozen=True)
class Vocabulary:
    """Item ids and their indices. Index 0 stands for every id that is not in `ids`.

    >>> vocabulary = Vocabulary(("milk", "tea"))
    >>> vocabulary.encode(["tea", "caviar", "milk"]).tolist()
    [2, 0, 1]
    >>> vocabulary.decode(vocabulary.encode(["tea", "caviar"]))
    ['tea', '']
    """

    ids: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of indices, the one for unknown ids included."""
        return len(self.ids) + 1

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.ids, start=1)}

    def encode(self, ids: "Sequence[str] | pd.Series | pd.Index") -> Ints:
        """Return the index of each id, 0 where it is unknown."""
        positions = self._positions
        return np.array([positions.get(name, OUT_OF_VOCABULARY) for name in ids], dtype=np.int32)

    def encode_column(self, column: pd.Series) -> Ints:
        """Return the same as `encode`, faster for a long column with few different ids."""
        codes, names = pd.factorize(column)
        return self.encode(names)[codes] if len(names) else np.zeros(len(column), dtype=np.int32)

    def decode(self, indices: Ints) -> list[str]:
        """Return the id of each index; '' for index 0."""
        return [self.ids[index - 1] if index > 0 else "" for index in indices.tolist()]


@dataclass(frozen=True)
class Histories:
    """Every purchase line of every user, ordered by user, then item, then from late to early.

    Attributes:
        user_ids: [n_users], sorted.
        row_splits: [n_users + 1], where each user's lines begin.
        item: [n_lines] item index.
        time: [n_lines] seconds since 1970, UTC: when the line's basket began.
        basket: [n_lines] number of the basket in the user's own order, from 0 = the first.
        quantity: [n_lines] units.
        price: [n_lines] unit price paid.
        store: [n_lines] code of the store, 0 where it is not known.
        store_ids: Store of code i + 1.
    """

    user_ids: tuple[str, ...]
    row_splits: Longs
    item: Ints
    time: Seconds
    basket: Ints
    quantity: Floats
    price: Floats
    store: Ints
    store_ids: tuple[str, ...]

    @cached_property
    def _stores(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self.store_ids, start=1)}

    def store_code(self, store_id: str | None) -> int:
        """Return the code of a store, 0 if nobody bought anything there or it is not known."""
        return 0 if store_id is None else self._stores.get(store_id, 0)

    def hour_of_week(self, timezone: str) -> Ints:
        """Return [n_lines] the hour of the shop's week of each purchase, worked out once."""
        if timezone not in self._hours:
            self._hours[timezone] = hours_of_week(self.time, timezone)
        return self._hours[timezone]

    @cached_property
    def _hours(self) -> dict[str, Ints]:
        return {}

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.user_ids)}

    def row(self, user_id: str) -> int:
        """Return the position of a user, -1 if they bought nothing."""
        return self._rows.get(user_id, -1)

    def lines(self, user_id: str) -> slice:
        """Return where a user's lines lie; an empty slice for an unknown user."""
        row = self.row(user_id)
        return slice(0, 0) if row < 0 else slice(*self.row_splits[row : row + 2].tolist())


@dataclass(frozen=True)
class Requests:
    """A batch of requests in the layout of this module.

    Attributes:
        row_splits: [n + 1], where each request's lines begin.
        item: [n_lines] item index.
        age_days: [n_lines] days between the purchase and the request, > 0.
        baskets_ago: [n_lines] 0 for the latest basket before the request that holds
            an item of the vocabulary, 1 for the one before it…
        quantity: [n_lines] units.
        price: [n_lines] unit price paid.
        store: [n_lines] code of the store, 0 where it is not known.
        hour_of_week: [n_lines] of the purchase, 0 = Monday 00:00 in the shop's time zone.
        cart_splits: [n + 1], where each request's cart begins.
        cart_item: [n_cart_items] item index.
        viewed_splits: [n + 1], where each request's just-viewed items begin.
        viewed_item: [n_viewed_items] item index.
        time: [n] seconds since 1970, UTC.
        time_known: [n] 1 when the shopper shops at that time, 0 when it is only the first moment
            from which on they may.
        at_store: [n] code of the store that they shop in, 0 where it is not known.
        local_weekday: [n] 0 = Monday, in the shop's time zone.
        local_hour: [n] 0..23, in the shop's time zone.
        user_attributes: [n, n_attributes] code of each attribute, 0 = unknown.
    """

    row_splits: Longs
    item: Ints
    age_days: Floats
    baskets_ago: Ints
    quantity: Floats
    price: Floats
    store: Ints
    hour_of_week: Ints
    cart_splits: Longs
    cart_item: Ints
    viewed_splits: Longs
    viewed_item: Ints
    time: Seconds
    time_known: Ints
    at_store: Ints
    local_weekday: Ints
    local_hour: Ints
    user_attributes: Ints

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.row_splits) - 1

    def part(self, start: int, stop: int) -> "Requests":
        """Return the requests from `start` to before `stop`."""
        lines, cart, viewed = (
            slice(*splits[[start, stop]].tolist())
            for splits in (self.row_splits, self.cart_splits, self.viewed_splits)
        )
        rows = slice(start, stop)
        return Requests(
            row_splits=self.row_splits[start : stop + 1] - lines.start,
            item=self.item[lines],
            age_days=self.age_days[lines],
            baskets_ago=self.baskets_ago[lines],
            quantity=self.quantity[lines],
            price=self.price[lines],
            store=self.store[lines],
            hour_of_week=self.hour_of_week[lines],
            cart_splits=self.cart_splits[start : stop + 1] - cart.start,
            cart_item=self.cart_item[cart],
            viewed_splits=self.viewed_splits[start : stop + 1] - viewed.start,
            viewed_item=self.viewed_item[viewed],
            time=self.time[rows],
            time_known=self.time_known[rows],
            at_store=self.at_store[rows],
            local_weekday=self.local_weekday[rows],
            local_hour=self.local_hour[rows],
            user_attributes=self.user_attributes[rows],
        )


def build_histories(events: pd.DataFrame, vocabulary: Vocabulary) -> Histories:
    """Return the purchases in `events` (columns of schemas.EVENTS) in the layout of `Histories`.

    Lines of one item in one basket become one. Purchases without a basket count as one basket
    per moment. Items that are not in the vocabulary are left out; their baskets still count.
    """
    bought = events[events["event_type"] == "purchase"]
    users, user_ids = pd.factorize(bought["user_id"], sort=True)
    seconds = to_seconds(bought["timestamp"])
    basket = _basket_codes(bought, users, seconds)
    began = np.full(basket.max(initial=-1) + 1, np.inf)
    np.minimum.at(began, basket, seconds)
    store, store_ids = _store_codes(bought)
    of_basket = np.zeros(len(began), dtype=np.int32)
    np.maximum.at(of_basket, basket, store)
    lines = pd.DataFrame(
        {
            "user": users,
            "item": vocabulary.encode_column(bought["item_id"]),
            "time": began[basket],
            "basket": basket,
            "store": of_basket[basket],
            "quantity": bought["quantity"].to_numpy(),
            "paid": (bought["quantity"] * bought["price"]).to_numpy(),
        }
    )
    lines["basket"] = _numbers_of(lines)
    keys = ["user", "item", "time", "basket", "store"]
    lines = lines[lines["item"] != OUT_OF_VOCABULARY].groupby(keys, as_index=False).sum()
    order = np.lexsort(
        (-lines["basket"].to_numpy(), lines["item"].to_numpy(), lines["user"].to_numpy())
    )
    lines = lines.iloc[order]
    units = lines["quantity"].to_numpy()
    return Histories(
        user_ids=tuple(str(name) for name in user_ids),
        row_splits=np.searchsorted(lines["user"].to_numpy(), np.arange(len(user_ids) + 1)),
        item=lines["item"].to_numpy(dtype=np.int32),
        time=lines["time"].to_numpy(),
        basket=lines["basket"].to_numpy(dtype=np.int32),
        quantity=units.astype(np.float32),
        price=(lines["paid"].to_numpy() / np.maximum(units, 1e-9)).astype(np.float32),
        store=lines["store"].to_numpy(dtype=np.int32),
        store_ids=store_ids,
    )


def _store_codes(bought: pd.DataFrame) -> tuple[Ints, tuple[str, ...]]:
    """Return each line's store as a code from 1 in the order of text, 0 for none."""
    if "store_id" not in bought:
        return np.zeros(len(bought), dtype=np.int32), ()
    codes, names = pd.factorize(bought["store_id"], sort=True)
    return (codes + 1).astype(np.int32), tuple(str(name) for name in names)


def _basket_codes(bought: pd.DataFrame, users: Longs, seconds: Seconds) -> Longs:
    """Return one code per user and basket id, or per user and moment where there is no id."""
    alone = bought["basket_id"].isna().to_numpy()
    ids = pd.factorize(bought["basket_id"])[0].astype(np.int64)
    pairs = ids * (int(users.max(initial=0)) + 1) + users
    known = np.asarray(pd.factorize(pairs)[0], dtype=np.int64)
    if not alone.any():
        return known
    moments = pd.DataFrame({"user": users, "second": seconds})[alone]
    known[alone] = known.max(initial=-1) + 1 + moments.groupby(["user", "second"]).ngroup()
    return known


def _numbers_of(lines: pd.DataFrame) -> Longs:
    """Return the number of each line's basket in the order of its user's baskets."""
    baskets = lines[["user", "time", "basket"]].drop_duplicates("basket")
    baskets = baskets.sort_values(["user", "time", "basket"], kind="stable")
    number = pd.Series(baskets.groupby("user").cumcount().to_numpy(), index=baskets["basket"])
    return np.asarray(number.reindex(lines["basket"]).to_numpy())


def build_requests(  # noqa: PLR0913  one argument per part of a request
    histories: Histories,
    user_ids: Sequence[str],
    times: "Sequence[datetime] | pd.Series | Seconds",
    *,
    carts: Sequence[Ints] | None = None,
    viewed: Sequence[Ints] | None = None,
    attributes: pd.DataFrame | None = None,
    timezone: str = "UTC",
    stores: Sequence[str | None] | None = None,
    time_known: Ints | None = None,
) -> Requests:
    """Return one request per user and time; only purchases strictly before the time are in it.

    A user without purchases, or unknown to `histories`, gets a request without lines.

    Args:
        histories: All purchases.
        user_ids: [n].
        times: [n] UTC, as datetimes or as seconds since 1970.
        carts: Per request the item indices in the cart.
        viewed: Per request the item indices that were just viewed.
        attributes: Indexed by user_id, integer codes; users that are not in it get 0.
        timezone: The shop's.
        stores: [n] where each shops; None where that is not known.
        time_known: [n] 1 when they shop at that time, 0 when it is only the earliest; None for 1.
    """
    n, seconds = len(user_ids), to_seconds(times)
    rows = np.array([histories.row(name) for name in user_ids], dtype=np.int64)
    lines, request = _lines_of(histories, rows)
    before = histories.time[lines] < seconds[request]
    lines, request = lines[before], request[before]
    row_splits = np.searchsorted(request, np.arange(n + 1))
    local = pd.DatetimeIndex(pd.to_datetime(seconds, unit="s", utc=True)).tz_convert(timezone)
    cart_splits, cart_item = _ragged(carts, n)
    viewed_splits, viewed_item = _ragged(viewed, n)
    basket = histories.basket[lines]
    return Requests(
        row_splits=row_splits,
        item=histories.item[lines],
        age_days=((seconds[request] - histories.time[lines]) / DAY).astype(np.float32),
        baskets_ago=_latest(basket, row_splits)[request] - basket,
        quantity=histories.quantity[lines],
        price=histories.price[lines],
        store=histories.store[lines],
        hour_of_week=histories.hour_of_week(timezone)[lines],
        cart_splits=cart_splits,
        cart_item=cart_item,
        viewed_splits=viewed_splits,
        viewed_item=viewed_item,
        time=seconds,
        time_known=np.ones(n, dtype=np.int32) if time_known is None else time_known,
        at_store=np.array([histories.store_code(s) for s in stores or [None] * n], dtype=np.int32),
        local_weekday=np.asarray(local.weekday, dtype=np.int32),
        local_hour=np.asarray(local.hour, dtype=np.int32),
        user_attributes=_codes(attributes, user_ids),
    )


def _lines_of(histories: Histories, rows: Longs) -> tuple[Longs, Longs]:
    """Return the positions of all lines of these users, and the request each is for."""
    starts = np.where(rows >= 0, histories.row_splits[rows], 0)
    lengths = np.where(rows >= 0, histories.row_splits[rows + 1] - starts, 0)
    request = np.repeat(np.arange(len(rows)), lengths)
    offsets = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
    return np.arange(len(request)) + offsets, request


def _latest(basket: Ints, row_splits: Longs) -> Ints:
    """Return the number of each request's latest basket; 0 for a request without lines."""
    latest = np.zeros(len(row_splits) - 1, dtype=np.int32)
    filled = np.flatnonzero(np.diff(row_splits))
    if len(filled):
        latest[filled] = np.maximum.reduceat(basket, row_splits[filled])
    return latest


def _ragged(lists: Sequence[Ints] | None, n: int) -> tuple[Longs, Ints]:
    if lists is None:
        return np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
    known = [np.asarray(values)[np.asarray(values) != OUT_OF_VOCABULARY] for values in lists]
    splits = np.concatenate([[0], np.cumsum([len(values) for values in known])]).astype(np.int64)
    return splits, np.concatenate([np.zeros(0), *known]).astype(np.int32)


def _codes(attributes: pd.DataFrame | None, user_ids: Sequence[str]) -> Ints:
    if attributes is None or attributes.shape[1] == 0:
        return np.zeros((len(user_ids), 0), dtype=np.int32)
    rows = attributes.index.get_indexer(pd.Index(list(user_ids), dtype=attributes.index.dtype))
    codes = attributes.to_numpy(dtype=np.int32)[rows]
    return np.where(rows[:, None] >= 0, codes, 0).astype(np.int32)


def to_seconds(times: "Sequence[datetime] | pd.Series | Seconds") -> Seconds:
    """Return seconds since 1970 for datetimes that know their zone; numbers stay as they are."""
    if isinstance(times, np.ndarray):
        return times
    moments = pd.DatetimeIndex(pd.Series(times)).tz_convert("UTC").as_unit("us")
    return np.asarray(moments.asi8, dtype=np.float64) / 1e6


def attribute_codes(users: pd.DataFrame) -> pd.DataFrame:
    """Return each attribute of schemas.USERS as codes: 0 = unknown, then in the order of text.

    >>> users = pd.DataFrame({"user_id": ["a", "b", "c"], "age": ["45-54", None, "19-24"]})
    >>> attribute_codes(users)["age"].tolist()
    [2, 0, 1]
    """
    frame = users.set_index("user_id").sort_index()
    return pd.DataFrame(
        {name: pd.factorize(frame[name], sort=True)[0] + 1 for name in frame.columns},
        index=frame.index,
        dtype=np.int32,
    )

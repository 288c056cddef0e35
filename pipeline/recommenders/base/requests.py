"""Requests: raw purchase histories up to a moment, in one flat layout.

Training, testing and serving build their requests with this module, so that a model sees the same
values everywhere. Design choices:

- The lines of all requests are concatenated; `row_splits` holds the start of each request. There
  is no padding. A request holds the whole history, or the newest shop.maximum_user_lines lines.
- The lines of a request are ordered by item, then from the latest to the oldest. The purchases of
  an item form one run of lines, which the graph finds by comparing neighbours.
- Nothing is normalised here. Ages are days before the request; the graph computes all features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.recommenders.base.histories import Floats, Histories, Longs
from pipeline.recommenders.base.vocabulary import OUT_OF_VOCABULARY, Ints
from pipeline.recommenders.base.wall_clock import DAY, Moments, Seconds, to_seconds


@dataclass(frozen=True)
class Requests:
    """A batch of requests in the layout of this module.

    Attributes:
        row_splits: [n + 1] start of each request's lines.
        item: [n_lines] item index.
        age_days: [n_lines] days between the purchase and the request, > 0.
        baskets_ago: [n_lines] 0 for the latest basket before the request that holds
            an item of the vocabulary, 1 for the previous one…
        quantity: [n_lines] units.
        price: [n_lines] unit price paid.
        store: [n_lines] store code, 0 = unknown.
        hour_of_week: [n_lines] hour of the purchase, 0 = Monday 00:00 in the shop's time zone.
        cart_splits: [n + 1] start of each request's cart.
        cart_item: [n_cart_items] item index.
        viewed_splits: [n + 1] start of each request's just-viewed items.
        viewed_item: [n_viewed_items] item index.
        time: [n] seconds since 1970, UTC.
        time_known: [n] 1 if the user shops at `time`, 0 if `time` is only the earliest moment.
        at_store: [n] code of the store that the user is in, 0 = unknown.
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


def withhold_context(requests: Requests) -> Requests:
    """Return the same requests without the time and the store of the trip.

    `time_known` and `at_store` are 0, as in requests for a first basket, so a method cannot use
    the hour, the weekday or the store. `time` stays, because ages and offer weeks refer to it.
    """
    unknown = np.zeros(len(requests), dtype=np.int32)
    return replace(requests, time_known=unknown, at_store=unknown)


def join(parts: Sequence[Requests]) -> Requests:
    """Return the concatenated requests of all parts.

    Raises:
        ValueError: `parts` is empty.
    """
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, Any] = {}
    for name in Requests.__dataclass_fields__:
        columns = [getattr(part, name) for part in parts]
        if name.endswith("_splits"):
            lengths = np.concatenate([np.diff(splits) for splits in columns])
            joined[name] = np.concatenate([[0], np.cumsum(lengths)])
        else:
            joined[name] = np.concatenate(columns)
    return Requests(**joined)


def build_requests(  # noqa: PLR0913  one argument per part of a request
    histories: Histories,
    user_ids: Sequence[str],
    times: Moments,
    *,
    carts: Sequence[Ints] | None = None,
    viewed: Sequence[Ints] | None = None,
    attributes: pd.DataFrame | None = None,
    timezone: str = "UTC",
    stores: Sequence[str | None] | None = None,
    time_known: Ints | None = None,
) -> Requests:
    """Return one request per user and time, with the purchases strictly before that time.

    A user without purchases, or unknown to `histories`, gets a request without lines.

    Args:
        histories: All purchases.
        user_ids: [n] user ids.
        times: [n] UTC, as datetimes or as seconds since 1970.
        carts: Per request the item indices in the cart.
        viewed: Per request the item indices that were just viewed.
        attributes: Integer codes indexed by user_id; missing users get 0.
        timezone: Time zone of the shop.
        stores: [n] store id of each request; None where it is unknown.
        time_known: [n] 1 if the user shops at that time, 0 if it is only the earliest; default 1.
    """
    n, seconds = len(user_ids), to_seconds(times)
    rows = np.array([histories.row(name) for name in user_ids], dtype=np.int64)
    request, lines = histories.earlier.before(rows, seconds)
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


def _latest(basket: Ints, row_splits: Longs) -> Ints:
    """Return the number of each request's latest basket, 0 for a request without lines."""
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


def encode_attributes(users: pd.DataFrame) -> pd.DataFrame:
    """Return each attribute of schemas.USERS as codes: 0 = unknown, then in alphabetical order.

    >>> users = pd.DataFrame({"user_id": ["a", "b", "c"], "age": ["45-54", None, "19-24"]})
    >>> encode_attributes(users)["age"].tolist()
    [2, 0, 1]
    """
    frame = users.set_index("user_id").sort_index()
    return pd.DataFrame(
        {name: pd.factorize(frame[name], sort=True)[0] + 1 for name in frame.columns},
        index=frame.index,
        dtype=np.int32,
    )

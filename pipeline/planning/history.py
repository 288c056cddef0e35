"""The purchases that planning uses, read from the raw source by the rules of collection.

Design choices:

- All lines of a basket carry the time at which the basket began.
- An item counts once per basket.
- Items are numbered from 1 by falling popularity before validation, so that a stable sort breaks
  ties by popularity and then by id; 0 is padding.
- Rows of the test window and later are not read.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.contracts.baskets import add_baskets
from pipeline.contracts.errors import DataQualityError
from pipeline.contracts.newest_lines import EarlierLines
from pipeline.contracts.params import Params
from pipeline.contracts.schemas import NOT_AN_ID
from pipeline.runtime.sql_engine import fetch
from pipeline.sources import Source

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import BooleanValue, StringColumn

Ints = npt.NDArray[np.int64]
Strings = npt.NDArray[np.object_]

MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(frozen=True, eq=False)
class History:
    """Lines sorted by user, item and time; baskets numbered by user and time.

    Attributes:
        user: [n_lines] user, from 0.
        item: [n_lines] item, from 1.
        basket: [n_lines] index into the baskets.
        time: [n_lines] start of the basket, microseconds UTC.
        basket_user: [n_baskets] user of the basket.
        basket_time: [n_baskets] start of the basket, microseconds UTC.
        basket_order: [n_baskets] number of the user's earlier baskets.
        item_type: [n_items + 1] type of the item, 0 = unknown.
        user_ids: [n_users] ids of the users.
        maximum_lines: Number of a user's newest lines in a request; None for all.
    """

    user: Ints
    item: Ints
    basket: Ints
    time: Ints
    basket_user: Ints
    basket_time: Ints
    basket_order: Ints
    item_type: Ints
    user_ids: Strings
    maximum_lines: int | None = None

    @cached_property
    def earlier(self) -> EarlierLines:
        """The index of lines before a moment."""
        return EarlierLines(
            np.searchsorted(self.user, np.arange(self.n_users() + 1)),
            item=self.item,
            basket=self.basket,
            time=self.time,
            maximum=self.maximum_lines,
        )

    def n_users(self) -> int:
        """Return the number of users."""
        return len(self.user_ids)

    def n_items(self) -> int:
        """Return the number of sold items."""
        return len(self.item_type) - 1


def read_history(source: Source, params: Params) -> History:
    """Return all purchases before the test window.

    Raises:
        SourceError: If the engine cannot read the source.
        DataQualityError: If no purchase is left before the test window.
    """
    rows = fetch(_select_events(source, params))
    if rows.num_rows == 0:
        raise DataQualityError(
            f"purchases before the test window of shop.as_of {params.shop.as_of}",
            received="none that the rules of collection keep",
            action="Set shop.as_of to a day that the data reach, or add data.",
        )
    items = fetch(source.items.select("item_id", "type").distinct(on="item_id", keep="first"))
    until = microseconds(params.shop.windows().validation_start)
    history = build_history(rows, items, until)
    return replace(history, maximum_lines=params.shop.maximum_user_lines)


def _select_events(source: Source, params: Params) -> "Table":
    """Return the events of positive label weight that collection keeps (collection/rules.py)."""
    import ibis

    weights = params.labeling.event_weights
    counted = [name for name, weight in weights.items() if weight > 0]
    end = params.shop.windows().test_start.replace(tzinfo=None)
    listed = source.items.select("item_id", "department").distinct(on="item_id", keep="first")
    events = add_baskets(source.events, params.shop.timezone, source.ends)
    if source.begins is not None:
        begins = source.begins.astimezone(UTC).replace(tzinfo=None)
        events = events.filter(events.timestamp >= ibis.literal(begins, "timestamp(6)"))
    events = events.filter(
        *(_is_id(events[name]) for name in ("user_id", "item_id", "basket_id")),
        events.event_type.isin(counted),
        events.timestamp < ibis.literal(end, "timestamp(6)"),
        events.quantity <= params.collection.maximum_quantity,
        (events.quantity > 0) | (events.event_type != "purchase"),
    )
    joined = events.left_join(listed, "item_id").drop("item_id_right")
    dropped = joined.department.isin(params.collection.dropped_departments)
    selected = joined.filter(~ibis.coalesce(dropped, ibis.literal(value=False)))
    return selected.select("user_id", "item_id", "timestamp", "basket_id")


def _is_id(column: "StringColumn") -> "BooleanValue":
    return column.notnull() & ~column.re_search(NOT_AN_ID)


def build_history(rows: pa.Table, items: pa.Table, until: int) -> History:
    """Return `rows` as sorted arrays.

    Args:
        rows: user_id, item_id, timestamp and basket_id.
        items: item_id and type.
        until: Items are numbered by their popularity before this moment.
    """
    user, user_ids = _encode(rows["user_id"])
    item, item_ids = _encode(rows["item_id"])
    time = rows["timestamp"].cast(pa.int64()).to_numpy()
    name, names = _encode(rows["basket_id"])
    pairs, basket = np.unique(user * len(names) + name, return_inverse=True)
    starts = np.full(len(pairs), np.iinfo(np.int64).max)
    np.minimum.at(starts, basket, time)
    owner = pairs // len(names)
    by_time = np.lexsort((starts, owner))
    rank = np.argsort(by_time)
    owner, starts, basket = owner[by_time], starts[by_time], rank[basket]
    numbers = _by_popularity(item[time < until], len(item_ids))
    basket, number = _distinct(basket, numbers[item], len(item_ids) + 1)
    order = np.lexsort((basket, number, owner[basket]))
    basket, number = basket[order], number[order]
    return History(
        user=owner[basket],
        item=number,
        basket=basket,
        time=starts[basket],
        basket_user=owner,
        basket_time=starts,
        basket_order=np.arange(len(owner)) - np.searchsorted(owner, owner),
        item_type=_types(items, item_ids, numbers),
        user_ids=user_ids,
    )


def _distinct(basket: Ints, number: Ints, width: int) -> tuple[Ints, Ints]:
    keys = np.unique(basket * width + number)
    return keys // width, keys % width


def _encode(column: pa.ChunkedArray) -> tuple[Ints, Strings]:
    """Return the rank of each value among the sorted distinct values, and the distinct values."""
    encoded = column.combine_chunks().dictionary_encode()
    values = encoded.dictionary.to_numpy(zero_copy_only=False).astype(object)
    order = np.argsort(values)
    rank = np.argsort(order)
    return rank[encoded.indices.to_numpy()].astype(np.int64), values[order]


def _by_popularity(sold: Ints, n_items: int) -> Ints:
    """Return each item's number from 1, by falling count, then by id."""
    order = np.argsort(-np.bincount(sold, minlength=n_items), kind="stable")
    return np.argsort(order) + 1


def _types(items: pa.Table, item_ids: Strings, number: Ints) -> Ints:
    known = items.filter(items["type"].is_valid())
    codes, _ = _encode(known["type"]) if known.num_rows else (np.empty(0, np.int64), None)
    code_of_item = dict(zip(known["item_id"].to_pylist(), (codes + 1).tolist(), strict=True))
    types = np.zeros(len(item_ids) + 1, np.int64)
    types[number] = [code_of_item.get(item_id, 0) for item_id in item_ids]
    return types


def microseconds(moment: datetime) -> int:
    """Return a zone-aware moment as microseconds since 1970.

    >>> microseconds(datetime(1970, 1, 2, tzinfo=UTC)) == MICROSECONDS_PER_DAY
    True
    """
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

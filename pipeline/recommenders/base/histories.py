"""Purchase lines of all users, in the order in which requests need them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.errors import SchemaError
from pipeline.contracts.newest_lines import EarlierLines
from pipeline.recommenders.base.vocabulary import OUT_OF_VOCABULARY, Ints, Vocabulary
from pipeline.recommenders.base.wall_clock import Seconds, hours_of_week, to_seconds

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Histories:
    """Every purchase line of every user, ordered by user, then item, then from late to early.

    Attributes:
        user_ids: [n_users], sorted.
        row_splits: [n_users + 1] start of each user's lines.
        item: [n_lines] item index.
        time: [n_lines] seconds since 1970, UTC: start of the line's basket.
        basket: [n_lines] number of the basket per user, 0 = the first.
        quantity: [n_lines] units.
        price: [n_lines] unit price paid.
        store: [n_lines] store code, 0 = unknown.
        store_ids: Store id of code i + 1.
        maximum_lines: Most recent lines of a user that a request holds; None for all.
        last: [n_lines] seconds: last purchase of the line, later than `time` in a basket that
            stays open. None if every basket has a single moment.
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
    maximum_lines: int | None = None
    last: Seconds | None = None

    @property
    def known_from(self) -> Seconds:
        """[n_lines] seconds: a line is known after this moment."""
        return self.time if self.last is None else self.last

    @cached_property
    def earlier(self) -> EarlierLines:
        """Index that finds the lines before a moment."""
        return EarlierLines(
            self.row_splits,
            item=self.item,
            basket=self.basket,
            time=self.known_from,
            maximum=self.maximum_lines,
        )

    @cached_property
    def _stores(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self.store_ids, start=1)}

    def store_code(self, store_id: str | None) -> int:
        """Return the code of a store, 0 if it is unknown or has no purchases."""
        return 0 if store_id is None else self._stores.get(store_id, 0)

    def hour_of_week(self, timezone: str) -> Ints:
        """Return [n_lines] the local hour of the week of each purchase, cached."""
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
        """Return the position of a user, -1 if they have no purchases."""
        return self._rows.get(user_id, -1)

    def lines(self, user_id: str) -> slice:
        """Return the slice of a user's lines, empty for an unknown user."""
        row = self.row(user_id)
        return slice(0, 0) if row < 0 else slice(*self.row_splits[row : row + 2].tolist())

    def lines_before(self, user_id: str, moment: float) -> slice | Longs:
        """Return the positions of the lines that a request at `moment` (seconds) holds."""
        whole = self.lines(user_id)
        if self.maximum_lines is not None and whole.stop - whole.start > self.maximum_lines:
            return self.earlier.newest(self.row(user_id), moment)
        known = self.time[whole] < moment
        return whole if known.all() else whole.start + np.flatnonzero(known)


def build_histories(
    events: pd.DataFrame, vocabulary: Vocabulary, *, maximum_lines: int | None = None
) -> Histories:
    """Return the purchases in `events` (columns of schemas.EVENTS) in the layout of `Histories`.

    Lines of the same item in the same basket are merged. Items outside the vocabulary are dropped;
    their baskets still count.

    Args:
        events: Events of all types.
        vocabulary: Items to keep.
        maximum_lines: shop.maximum_user_lines; None for no limit.
    """
    bought = events[events["event_type"] == "purchase"]
    users, user_ids = pd.factorize(bought["user_id"], sort=True)
    seconds = to_seconds(bought["timestamp"])
    basket = _basket_codes(bought, users)
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
            "last": seconds,
        }
    )
    lines["basket"] = _numbers_of(lines)
    keys = ["user", "item", "time", "basket", "store"]
    by_line = lines[lines["item"] != OUT_OF_VOCABULARY].groupby(keys, as_index=False)
    lines = by_line.agg({"quantity": "sum", "paid": "sum", "last": "max"})
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
        maximum_lines=maximum_lines,
        last=None if lines["last"].equals(lines["time"]) else lines["last"].to_numpy(),
    )


def _store_codes(bought: pd.DataFrame) -> tuple[Ints, tuple[str, ...]]:
    """Return the store code of each line, from 1 in alphabetical order, 0 for none."""
    if "store_id" not in bought:
        return np.zeros(len(bought), dtype=np.int32), ()
    codes, names = pd.factorize(bought["store_id"], sort=True)
    return (codes + 1).astype(np.int32), tuple(str(name) for name in names)


def _basket_codes(bought: pd.DataFrame, users: Longs) -> Longs:
    """Return one code per user and basket id."""
    ids = pd.factorize(bought["basket_id"])[0].astype(np.int64)
    if (ids < 0).any():
        raise SchemaError(
            "a basket_id for every purchase",
            received=f"{int((ids < 0).sum())} purchases without one",
            action="Run `uv run dvc repro collection`.",
        )
    pairs = ids * (int(users.max(initial=0)) + 1) + users
    return np.asarray(pd.factorize(pairs)[0], dtype=np.int64)


def _numbers_of(lines: pd.DataFrame) -> Longs:
    """Return the number of each line's basket in the chronological order of its user."""
    baskets = lines[["user", "time", "basket"]].drop_duplicates("basket")
    baskets = baskets.sort_values(["user", "time", "basket"], kind="stable")
    number = pd.Series(baskets.groupby("user").cumcount().to_numpy(), index=baskets["basket"])
    return np.asarray(number.reindex(lines["basket"]).to_numpy())

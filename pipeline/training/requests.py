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
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

OUT_OF_VOCABULARY = 0


@dataclass(frozen=True)
class Vocabulary:
    """Item ids and their indices. Index 0 stands for every id that is not in `ids`.

    >>> vocabulary = Vocabulary(("milk", "tea"))
    >>> vocabulary.encode(["tea", "caviar", "milk"]).tolist()
    [2, 0, 1]
    """

    ids: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of indices, the one for unknown ids included."""
        return len(self.ids) + 1

    def encode(self, ids: Sequence[str]) -> Ints:
        """Return the index of each id, 0 where it is unknown."""
        raise NotImplementedError

    def decode(self, indices: Ints) -> list[str]:
        """Return the id of each index; '' for index 0."""
        raise NotImplementedError


@dataclass(frozen=True)
class Histories:
    """Every purchase line of every user, ordered by user, then item, then from late to early.

    Attributes:
        user_ids: [n_users], sorted.
        row_splits: [n_users + 1], where each user's lines begin.
        item: [n_lines] item index.
        time: [n_lines] seconds since 1970, UTC.
        basket: [n_lines] number of the basket in the user's own order, from 0 = the first.
        quantity: [n_lines] units.
        price: [n_lines] unit price paid.
    """

    user_ids: tuple[str, ...]
    row_splits: Longs
    item: Ints
    time: npt.NDArray[np.float64]
    basket: Ints
    quantity: Floats
    price: Floats


@dataclass(frozen=True)
class Requests:
    """A batch of requests in the layout of this module.

    Attributes:
        row_splits: [n + 1], where each request's lines begin.
        item: [n_lines] item index.
        age_days: [n_lines] days between the purchase and the request, > 0.
        baskets_ago: [n_lines] 0 for the latest basket before the request, 1 for the one before it…
        quantity: [n_lines] units.
        price: [n_lines] unit price paid.
        cart_splits: [n + 1], where each request's cart begins.
        cart_item: [n_cart_items] item index.
        viewed_splits: [n + 1], where each request's just-viewed items begin.
        viewed_item: [n_viewed_items] item index.
        time: [n] seconds since 1970, UTC.
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
    cart_splits: Longs
    cart_item: Ints
    viewed_splits: Longs
    viewed_item: Ints
    time: npt.NDArray[np.float64]
    local_weekday: Ints
    local_hour: Ints
    user_attributes: Ints

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.row_splits) - 1

    def part(self, start: int, stop: int) -> "Requests":
        """Return the requests from `start` to before `stop`."""
        raise NotImplementedError


def build_histories(events: pd.DataFrame, vocabulary: Vocabulary) -> Histories:
    """Return the purchases in `events` (columns of schemas.EVENTS) in the layout of `Histories`."""
    raise NotImplementedError


def build_requests(  # noqa: PLR0913
    histories: Histories,
    user_ids: Sequence[str],
    times: Sequence[datetime] | pd.Series,
    *,
    carts: Sequence[Ints] | None = None,
    viewed: Sequence[Ints] | None = None,
    attributes: pd.DataFrame | None = None,
    timezone: str = "UTC",
) -> Requests:
    """Return one request per user and time; only purchases strictly before the time are in it.

    A user without purchases, or unknown to `histories`, gets a request without lines.

    Args:
        histories: All purchases.
        user_ids: [n].
        times: [n] UTC.
        carts: Per request the item indices in the cart.
        viewed: Per request the item indices that were just viewed.
        attributes: Indexed by user_id, integer codes; users that are not in it get 0.
        timezone: The shop's.
    """
    raise NotImplementedError

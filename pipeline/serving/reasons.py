"""Why an item is on the shelf: short sentences that are facts of the request's own data."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from pipeline.recommenders.requests import DAY, Histories, Ints, Requests

POPULAR_DAYS = 28
MAXIMUM_REASONS = 3
MINIMUM_TOGETHER = 2


@dataclass(frozen=True)
class Catalogue:
    """What people may be told about each item; position = item index, 0 is unknown.

    Attributes:
        ids: [n_items + 1].
        titles: [n_items + 1], never empty for a known item.
        groups: [n_items + 1] category, or '' where it is not known.
        n_shoppers: [n_items + 1] shoppers who bought it in the four weeks before `as_of`.
        as_of: The day up to which they are counted.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    groups: tuple[str, ...]
    n_shoppers: Ints
    as_of: str


def build_catalogue(items: pd.DataFrame, histories: Histories, *, as_of: datetime) -> Catalogue:
    """Return what reasons need of the items.

    Args:
        items: item_id, title, category, type…; row i describes index i + 1.
        histories: All purchases before `as_of`.
        as_of: In the shop's time zone.
    """
    ids = items["item_id"].astype(str).tolist()
    names = zip(_texts(items, "title"), _texts(items, "type"), ids, strict=True)
    titles = [title or kind or item_id for title, kind, item_id in names]
    recent = histories.time >= as_of.timestamp() - POPULAR_DAYS * DAY
    user = np.repeat(np.arange(len(histories.user_ids)), np.diff(histories.row_splits))
    pairs = np.unique(user[recent] * (len(ids) + 1) + histories.item[recent])
    n_shoppers = np.bincount(pairs % (len(ids) + 1), minlength=len(ids) + 1).astype(np.int32)
    return Catalogue(
        ids=("", *ids),
        titles=("", *titles),
        groups=("", *_texts(items, "category")),
        n_shoppers=n_shoppers,
        as_of=as_of.date().isoformat(),
    )


def _texts(items: pd.DataFrame, column: str) -> list[str]:
    return [value.strip() if isinstance(value, str) else "" for value in items[column]]


class Reasons:
    """The reasons for the items of one answer."""

    def __init__(self, request: Requests, catalogue: Catalogue) -> None:
        """Take one request (a batch of one)."""
        self._request = request
        self._catalogue = catalogue
        self._groups: dict[str, int] | None = None

    def of(self, item: int) -> list[str]:
        """Return at most three facts about why `item` may be wanted."""
        request, catalogue = self._request, self._catalogue
        start, end = np.searchsorted(request.item, [item, item + 1])
        found = []
        if end > start:
            found.append(bought(request.age_days[start:end]))
        else:
            found.append("New to you")
        found.extend(self._with_cart(start, end))
        found.extend(self._like_viewed(item))
        if end == start:
            found.extend(self._same_group(item))
        n_shoppers = int(catalogue.n_shoppers[item])
        if n_shoppers > 1 and end == start:
            month = f"in the four weeks before {catalogue.as_of}"
            found.append(f"{n_shoppers:,} shoppers bought it {month}")
        return found[:MAXIMUM_REASONS]

    def _with_cart(self, start: int, end: int) -> list[str]:
        """Tell the cart's item that was most often in one basket with this one."""
        request = self._request
        baskets = request.baskets_ago[start:end]
        best, together = 0, 0
        for other in request.cart_item.tolist() if end > start else ():
            low, high = np.searchsorted(request.item, [other, other + 1])
            count = int(np.isin(request.baskets_ago[low:high], baskets).sum())
            if count > together:
                best, together = other, count
        if together < MINIMUM_TOGETHER:
            return []
        return [f"You bought it {together} times with {self._catalogue.titles[best]}, in your cart"]

    def _like_viewed(self, item: int) -> list[str]:
        viewed = self._request.viewed_item.tolist()
        if item in viewed:
            return ["You just looked at it"]
        groups = self._catalogue.groups
        for other in viewed:
            if groups[item] and groups[other] == groups[item]:
                return [f"Of the same kind as {self._catalogue.titles[other]}, just looked at"]
        return []

    def _same_group(self, item: int) -> list[str]:
        if self._groups is None:
            self._groups = {}
            for each in np.unique(self._request.item).tolist():
                name = self._catalogue.groups[each]
                self._groups[name] = self._groups.get(name, 0) + 1
        name = self._catalogue.groups[item]
        count = self._groups.get(name, 0)
        return [f"You bought {count} others from {name}"] if name and count > 1 else []


def bought(age_days: "np.typing.NDArray[np.float32]") -> str:
    """Return how often, how long ago and how regularly an item was bought.

    >>> bought(np.array([9.0, 21.0, 33.0], dtype=np.float32))
    'You bought it 3 times, last 9 days ago, about every 12 days'
    """
    last, n = float(age_days.min()), len(age_days)
    if n == 1:
        return f"You bought it once, {_ago(last)}"
    sentence = f"You bought it {n} times, last {_ago(last)}"
    gap = round((float(age_days.max()) - last) / (n - 1))
    # Two purchases are one gap: not yet a habit.
    return f"{sentence}, about every {_days(gap)}" if n > 2 and gap >= 1 else sentence  # noqa: PLR2004


def _ago(days: float) -> str:
    return f"{_days(int(days))} ago" if days >= 1 else "less than a day ago"


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"

"""The shoppers and products that the storefront shows: summaries, histories and prices.

A history comes from the request that the model would get, so the page shows what the model sees.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import numpy as np

from pipeline.recommenders.base.histories import Floats, Histories
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.vocabulary import OUT_OF_VOCABULARY, Ints
from pipeline.recommenders.base.wall_clock import DAY
from pipeline.serving.engine.model_runtime import ModelRuntime
from pipeline.serving.explanations.catalogue import Catalogue
from pipeline.serving.storefront.payloads import Basket, BasketLine, Product, Shopper, ShopperAnswer

N_LISTED = 12
N_BASKETS = 6
N_FREQUENT = 2
FRESH_FOR = timedelta(days=14)
OPENING = timedelta(hours=18)


class Shoppers:
    """Reads shoppers and products from a model runtime."""

    def __init__(self, runtime: ModelRuntime) -> None:
        """Compute the prices and the suggested shoppers."""
        self.runtime = runtime
        n_items = len(runtime.catalogue.ids)
        self._prices = median_prices(runtime.histories.item, runtime.histories.price, n_items)
        self._index = {item_id: at for at, item_id in enumerate(runtime.catalogue.ids) if at}
        self._suggestions = suggest_users(runtime.histories)

    def __len__(self) -> int:
        """Return the number of shoppers that the model was fitted on."""
        return len(self.runtime.histories.user_ids)

    def find(self, query: str, now: datetime) -> list[Shopper]:
        """Return shoppers whose id begins with `query`, or suggestions if it is empty."""
        names = (
            filter_by_prefix(self.runtime.histories.user_ids, query) if query else self._suggestions
        )
        if query and query not in names and self.runtime.builder.is_known(query):
            names = [query, *names]  # known from recent events only
        moments = ((name, self.moment(name, now)) for name in names[:N_LISTED])
        return [self._shopper(name, self._request(name, at)) for name, at in moments]

    def history(self, user_id: str, now: datetime) -> ShopperAnswer:
        """Return a shopper's baskets, cart and views, all empty for a new shopper."""
        moment = self.moment(user_id, now)
        request = self._request(user_id, moment)
        return ShopperAnswer(
            shopper=self._shopper(user_id, request),
            now=moment,
            baskets=list(self._baskets(request)),
            cart=[self._product(item) for item in request.cart_item.tolist()],
            viewed=[self.runtime.catalogue.ids[item] for item in request.viewed_item.tolist()],
        )

    def products(self, item_ids: Iterable[str]) -> list[Product]:
        """Return the products of these ids; ids that are not in the catalogue are left out."""
        items = (self._index.get(item_id, OUT_OF_VOCABULARY) for item_id in item_ids)
        return [self._product(item) for item in items if item != OUT_OF_VOCABULARY]

    def moment(self, user_id: str, now: datetime) -> datetime:
        """Return the shop's clock for one shopper, in the shop's time zone."""
        start = shop_time(self.runtime.as_of, now)
        seconds = self.runtime.builder.moment(user_id, start.timestamp())
        return datetime.fromtimestamp(seconds, tz=self.runtime.as_of.tzinfo)

    def _request(self, user_id: str, moment: datetime) -> Requests:
        builder = self.runtime.builder
        return builder.build(builder.build_context(user_id, moment.timestamp()))

    def _shopper(self, user_id: str, request: Requests) -> Shopper:
        ages = request.age_days
        return Shopper(
            user_id=user_id,
            n_baskets=int(request.baskets_ago.max()) + 1 if len(ages) else 0,
            n_products=len(np.unique(request.item)),
            last_basket=self._paid_at(request, float(ages.min())) if len(ages) else None,
            often=frequent_categories(request.item, self.runtime.catalogue),
        )

    def _baskets(self, request: Requests) -> Iterable[Basket]:
        for ago in np.unique(request.baskets_ago)[:N_BASKETS]:
            at = np.flatnonzero(request.baskets_ago == ago)
            lines = zip(request.item[at].tolist(), request.quantity[at].tolist(), strict=True)
            yield Basket(
                paid_at=self._paid_at(request, float(request.age_days[at[0]])),
                lines=[BasketLine(product=self._product(i), quantity=n) for i, n in lines],
            )

    def _paid_at(self, request: Requests, age_days: float) -> datetime:
        seconds = round(float(request.time[0]) - age_days * DAY)
        return datetime.fromtimestamp(seconds, tz=self.runtime.as_of.tzinfo)

    def _product(self, item: int) -> Product:
        catalogue = self.runtime.catalogue
        price = float(self._prices[item])
        return Product(
            item_id=catalogue.ids[item],
            title=catalogue.titles[item],
            department=catalogue.departments[item],
            category=catalogue.categories[item],
            price=round(price, 2) if price > 0 else None,
        )


def shop_time(as_of: datetime, now: datetime) -> datetime:
    """Return `now`, or 18 hours after `as_of` if that is more than two weeks ago.

    Data of a past year are shown as of the evening after them: years later, all would be due.

    >>> from datetime import UTC
    >>> shop_time(datetime(2017, 12, 4, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)).isoformat()
    '2017-12-04T18:00:00+00:00'
    >>> shop_time(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, 9, tzinfo=UTC)).isoformat()
    '2026-01-03T09:00:00+00:00'
    """
    return now if now - as_of <= FRESH_FOR else as_of + OPENING


def filter_by_prefix(names: Sequence[str], prefix: str) -> list[str]:
    """Return the first names of a sorted sequence that begin with `prefix`.

    >>> filter_by_prefix(("1", "12", "123", "2"), "12")
    ['12', '123']
    """
    start = bisect_left(names, prefix)
    return [name for name in names[start : start + N_LISTED] if name.startswith(prefix)]


def suggest_users(histories: Histories) -> list[str]:
    """Return up to N_LISTED users, evenly spaced from the most purchases to the fewest."""
    order = np.argsort(-np.diff(histories.row_splits), kind="stable")
    rows = order[np.unique(np.linspace(0, len(order) - 1, N_LISTED).astype(int))]
    return [histories.user_ids[row] for row in rows.tolist()]


def frequent_categories(items: Ints, catalogue: Catalogue) -> list[str]:
    """Return the most frequent categories of `items`; ties are in alphabetical order."""
    codes, counts = np.unique(catalogue.category_code[items], return_counts=True)
    named = [
        (-int(count), catalogue.categories[int(items[catalogue.category_code[items] == code][0])])
        for code, count in zip(codes, counts, strict=True)
    ]
    return [name for _, name in sorted(named) if name][:N_FREQUENT]


def median_prices(item: Ints, price: Floats, n_items: int) -> Floats:
    """Return the lower median price of each item, [n_items]; 0 for items never sold."""
    order = np.lexsort((price, item))
    counts = np.bincount(item, minlength=n_items)
    middle = np.cumsum(counts) - counts + np.maximum(counts - 1, 0) // 2
    prices = np.zeros(n_items, dtype=np.float32)
    sold = counts > 0
    prices[sold] = price[order][middle[sold]]
    return prices

"""What the page is told of shoppers and products: a list to choose from, a history, a price.

A history is read off the request that the model would get, so the page shows what the model sees.
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
N_OFTEN = 2
FRESH = timedelta(days=14)
OPENING = timedelta(hours=18)


class Shoppers:
    """Reads what a shelf knows."""

    def __init__(self, answering: ModelRuntime) -> None:
        """Work out the prices, and whom to suggest."""
        self.answering = answering
        n_items = len(answering.catalogue.ids)
        self._prices = usual_prices(answering.histories.item, answering.histories.price, n_items)
        self._index = {item_id: at for at, item_id in enumerate(answering.catalogue.ids) if at}
        self._suggested = suggested(answering.histories)

    def __len__(self) -> int:
        """Return the number of shoppers that the model was fitted on."""
        return len(self.answering.histories.user_ids)

    def find(self, query: str, now: datetime) -> list[Shopper]:
        """Return shoppers whose id begins with `query`; without one, some of every kind."""
        names = with_prefix(self.answering.histories.user_ids, query) if query else self._suggested
        if query and query not in names and self.answering.builder.is_known(query):
            names = [query, *names]  # known by events only
        moments = ((name, self.moment(name, now)) for name in names[:N_LISTED])
        return [self._shopper(name, self._request(name, at)) for name, at in moments]

    def history(self, user_id: str, now: datetime) -> ShopperAnswer:
        """Return what is known of one shopper; of somebody new, nothing."""
        moment = self.moment(user_id, now)
        request = self._request(user_id, moment)
        return ShopperAnswer(
            shopper=self._shopper(user_id, request),
            now=moment,
            baskets=list(self._baskets(request)),
            cart=[self._product(item) for item in request.cart_item.tolist()],
            viewed=[self.answering.catalogue.ids[item] for item in request.viewed_item.tolist()],
        )

    def products(self, item_ids: Iterable[str]) -> list[Product]:
        """Return the products of these ids; those that nobody sold are left out."""
        found = (self._index.get(item_id, OUT_OF_VOCABULARY) for item_id in item_ids)
        return [self._product(item) for item in found if item != OUT_OF_VOCABULARY]

    def moment(self, user_id: str, now: datetime) -> datetime:
        """Return the shop's clock for one shopper, in the shop's time zone."""
        opened = opening(self.answering.as_of, now)
        seconds = self.answering.builder.moment(user_id, opened.timestamp())
        return datetime.fromtimestamp(seconds, tz=self.answering.as_of.tzinfo)

    def _request(self, user_id: str, moment: datetime) -> Requests:
        builder = self.answering.builder
        return builder.build(builder.build_context(user_id, moment.timestamp()))

    def _shopper(self, user_id: str, request: Requests) -> Shopper:
        ages = request.age_days
        return Shopper(
            user_id=user_id,
            n_baskets=int(request.baskets_ago.max()) + 1 if len(ages) else 0,
            n_products=len(np.unique(request.item)),
            last_basket=self._paid_at(request, float(ages.min())) if len(ages) else None,
            often=often(request.item, self.answering.catalogue),
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
        return datetime.fromtimestamp(seconds, tz=self.answering.as_of.tzinfo)

    def _product(self, item: int) -> Product:
        catalogue = self.answering.catalogue
        price = float(self._prices[item])
        return Product(
            item_id=catalogue.ids[item],
            title=catalogue.titles[item],
            department=catalogue.departments[item],
            category=catalogue.categories[item],
            price=round(price, 2) if price > 0 else None,
        )


def opening(as_of: datetime, now: datetime) -> datetime:
    """Return `now`, or 18 hours after `as_of` when that is long ago.

    Data of a past year are looked at as on the evening after them: years later all would be due.

    >>> from datetime import UTC
    >>> opening(datetime(2017, 12, 4, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)).isoformat()
    '2017-12-04T18:00:00+00:00'
    >>> opening(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, 9, tzinfo=UTC)).isoformat()
    '2026-01-03T09:00:00+00:00'
    """
    return now if now - as_of <= FRESH else as_of + OPENING


def with_prefix(names: Sequence[str], prefix: str) -> list[str]:
    """Return the first names of a sorted sequence that begin with `prefix`.

    >>> with_prefix(("1", "12", "123", "2"), "12")
    ['12', '123']
    """
    start = bisect_left(names, prefix)
    return [name for name in names[start : start + N_LISTED] if name.startswith(prefix)]


def suggested(histories: Histories) -> list[str]:
    """Return shoppers from those that buy most to those that buy least, in even steps."""
    order = np.argsort(-np.diff(histories.row_splits), kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, N_LISTED).astype(int))]
    return [histories.user_ids[row] for row in chosen.tolist()]


def often(items: Ints, catalogue: Catalogue) -> list[str]:
    """Return the categories bought most often; equal ones in the order of their names."""
    codes, counts = np.unique(catalogue.category_code[items], return_counts=True)
    named = [
        (-int(count), catalogue.categories[int(items[catalogue.category_code[items] == code][0])])
        for code, count in zip(codes, counts, strict=True)
    ]
    return [name for _, name in sorted(named) if name][:N_OFTEN]


def usual_prices(item: Ints, price: Floats, n_items: int) -> Floats:
    """Return [n_items] the lower median of the prices paid for each item, 0 for one never sold."""
    order = np.lexsort((price, item))
    counts = np.bincount(item, minlength=n_items)
    middle = np.cumsum(counts) - counts + np.maximum(counts - 1, 0) // 2
    prices = np.zeros(n_items, dtype=np.float32)
    sold = counts > 0
    prices[sold] = price[order][middle[sold]]
    return prices

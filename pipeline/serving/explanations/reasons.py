"""Why an item is on the shelf, in words: the model says what counted, the request says the fact.

A sentence is told when what it names adds to the item's score, the largest first, and when it is
true of the request. What a model knows and a shopper would not understand (how large the basket
may become) is left unsaid.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pipeline.recommenders.base.requests import Requests
from pipeline.serving.explanations.catalogue import Catalogue

OFTEN_DAYS = 120
MAXIMUM_REASONS = 3
MINIMUM_SHARE = 0.1  # of all that speaks for the item
MINIMUM_TOGETHER = 2
MINIMUM_HABIT = 3
MOSTLY = 0.5
ALMOST_DUE = 0.75
WORTH_TELLING = 0.4
NEAR_HOURS = 2
DAY_HOURS = 24
WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")

OFFERS = {
    "mailer now": "In this week's mailer",
    "coupon now": "There is a coupon for it this week",
    "price cut now": "Reduced this week",
    "display now": "On display this week",
    "mailer next": "In next week's mailer",
    "display next": "On display next week",
}


@dataclass(frozen=True)
class Reason:
    """One sentence, and what kind of fact it tells."""

    kind: str
    text: str


class Reasons:
    """The reasons for the items of one answer."""

    def __init__(self, request: Requests, catalogue: Catalogue) -> None:
        """Take one request (a batch of one)."""
        self._request = request
        self._catalogue = catalogue

    def of(self, item: int, why: Mapping[str, float], facts: Mapping[str, float]) -> list[Reason]:
        """Return one to three reasons for `item`, what counted most first.

        Args:
            item: Item index.
            why: What each group adds to its score, see `recommender.Explanations`.
            facts: What else the model knows of it.
        """
        request = self._request
        start, end = np.searchsorted(request.item, [item, item + 1])
        lines = slice(int(start), int(end))
        tell: dict[str, Callable[[], Reason | None]] = {
            "frequency": lambda: self._often(lines),
            "timing": lambda: self._timing(lines),
            "due": lambda: self._due(lines),
            "store": lambda: self._store(lines),
            "hour": lambda: self._hour(lines),
            "weekday": lambda: self._weekday(lines),
            "again": lambda: self._again(item),
            "offers": lambda: _offer(facts),
            "popularity": lambda: self._popular(item),
            "category": lambda: self._category(item),
            "quantity": lambda: self._quantity(lines),
            "cart": lambda: self._cart(item, lines),
            "viewed": lambda: self._viewed(item),
            "taste": self._taste,
            "profile": self._profile,
        }
        found = (tell[topic]() for topic in telling(why) if topic in tell)
        true = (reason for reason in found if reason is not None)
        told = list(islice(true, MAXIMUM_REASONS))
        if told:
            return told
        if end > start:
            return [Reason("bought", bought(request.age_days[lines]))]
        return [Reason("new", "New to you")]

    def _often(self, lines: slice) -> Reason | None:
        n = lines.stop - lines.start
        return Reason("frequency", f"You bought it {n} times") if n > 1 else None

    def _timing(self, lines: slice) -> Reason | None:
        ages = self._request.age_days[lines]
        return Reason("recent", f"You bought it {_ago(float(ages.min()))}") if len(ages) else None

    def _due(self, lines: slice) -> Reason | None:
        """Tell the rhythm of the purchases when the next one is due by it."""
        ages = self._request.age_days[lines]
        if len(ages) < MINIMUM_HABIT:
            return None
        last = float(ages.min())
        gap = (float(ages.max()) - last) / (len(ages) - 1)
        if gap < 1 or last < ALMOST_DUE * gap:
            return None
        return Reason("due", f"You buy it about every {_days(round(gap))}: due again")

    def _store(self, lines: slice) -> Reason | None:
        stores, here = self._request.store[lines], int(self._request.at_store[0])
        mostly = len(stores) >= MINIMUM_HABIT and here and (stores == here).mean() > MOSTLY
        return Reason("store", "You mostly buy it in this store") if mostly else None

    def _hour(self, lines: slice) -> Reason | None:
        """Tell that the purchases were at this time of day."""
        apart = np.abs(self._request.hour_of_week[lines] % DAY_HOURS - self._request.local_hour[0])
        near = np.minimum(apart, DAY_HOURS - apart) <= NEAR_HOURS
        mostly = len(near) >= MINIMUM_HABIT and near.mean() > MOSTLY
        return Reason("hour", "You mostly buy it at this time of day") if mostly else None

    def _weekday(self, lines: slice) -> Reason | None:
        today = int(self._request.local_weekday[0])
        same = self._request.hour_of_week[lines] // DAY_HOURS == today
        mostly = len(same) >= MINIMUM_HABIT and same.mean() > MOSTLY
        return Reason("weekday", f"You mostly buy it on {WEEKDAYS[today]}") if mostly else None

    def _again(self, item: int) -> Reason | None:
        share = float(self._catalogue.again[item])
        if share < WORTH_TELLING:
            return None
        return Reason("again", f"{share:.0%} of the shoppers who try it buy it again")

    def _popular(self, item: int) -> Reason | None:
        n = int(self._catalogue.n_shoppers[item])
        month = f"in the four weeks before {self._catalogue.as_of}"
        return Reason("popularity", f"{n:,} shoppers bought it {month}") if n > 1 else None

    def _category(self, item: int) -> Reason | None:
        """Tell how often the item's category was bought, and whether it is the usual choice."""
        request, catalogue = self._request, self._catalogue
        name = readable(catalogue.groups[item])
        same = catalogue.group_code[request.item] == catalogue.group_code[item]
        recent = same & (request.age_days <= OFTEN_DAYS)
        n = int(recent.sum())
        if not name or n < MINIMUM_HABIT:
            return None
        if (request.item[recent] == item).mean() > MOSTLY:
            return Reason("choice", f"Your usual choice of {name}")
        text = f"You often buy {name}: {n} times in the last {OFTEN_DAYS} days"
        return Reason("category", text)

    def _quantity(self, lines: slice) -> Reason | None:
        units = self._request.quantity[lines]
        usual = round(float(np.median(units))) if len(units) else 0
        return Reason("quantity", f"You usually take {usual} of it") if usual > 1 else None

    def _cart(self, item: int, lines: slice) -> Reason | None:
        """Tell the cart's item that was most often bought with this one, or is of its kind."""
        request, catalogue = self._request, self._catalogue
        baskets = request.baskets_ago[lines]
        best, together = 0, 0
        for other in request.cart_item.tolist():
            low, high = np.searchsorted(request.item, [other, other + 1])
            count = int(np.isin(request.baskets_ago[low:high], baskets).sum())
            if count > together:
                best, together = other, count
        if together >= MINIMUM_TOGETHER:
            text = f"You bought it {together} times with {catalogue.titles[best]}, in your cart"
            return Reason("cart", text)
        alike = self._alike(item, request.cart_item.tolist())
        if alike:
            return Reason("cart", f"Of the same kind as {alike}, in your cart")
        if len(request.cart_item) and lines.start == lines.stop:
            return Reason("cart", "Goes with what is in your cart")
        return None

    def _viewed(self, item: int) -> Reason | None:
        viewed = self._request.viewed_item.tolist()
        if item in viewed:
            return Reason("viewed", "You just looked at it")
        alike = self._alike(item, viewed)
        if alike:
            return Reason("viewed", f"Of the same kind as {alike}, just looked at")
        return Reason("viewed", "Goes with what you just looked at") if viewed else None

    def _alike(self, item: int, others: list[int]) -> str:
        """Return the title of the first of the other items that is in the category of `item`."""
        code = self._catalogue.group_code
        name = self._catalogue.groups[item]
        same = [other for other in others if name and code[other] == code[item]]
        return self._catalogue.titles[same[0]] if same else ""

    def _taste(self) -> Reason | None:
        there = len(self._request.item) > 0
        return Reason("taste", "Goes with what you usually buy") if there else None

    def _profile(self) -> Reason | None:
        known = bool((self._request.user_attributes > 0).any())
        return Reason("profile", "Households like yours buy it") if known else None


TOPICS = {
    "timing": "timing",
    "history": "timing",
    "substitutes": "category",
    "affinity": "category",
}


def telling(why: Mapping[str, float]) -> list[str]:
    """Return the topics that speak for an item by more than MINIMUM_SHARE, the largest first.

    Groups that are told by the same sentence count together.

    >>> telling({"timing": 1.0, "history": 2.0, "frequency": 2.5, "offers": 0.1, "cart": -4.0})
    ['timing', 'frequency']
    """
    total: dict[str, float] = {}
    for group, added in why.items():
        topic = TOPICS.get(group, group)
        total[topic] = total.get(topic, 0.0) + added
    positive = {topic: added for topic, added in total.items() if added > 0}
    least = MINIMUM_SHARE * sum(positive.values())
    ordered = sorted(positive, key=lambda topic: -positive[topic])
    return [topic for topic in ordered if positive[topic] > least]


def _offer(facts: Mapping[str, float]) -> Reason | None:
    """Tell the first offer that runs, and if it is not for most shoppers or in most stores."""
    for name, sentence in OFFERS.items():
        share = facts.get(name, 0.0)
        if share > 0:
            part = "for some shoppers" if name.startswith("coupon") else "in some stores"
            return Reason("offers", sentence if share > MOSTLY else f"{sentence} {part}")
    return None


def readable(name: str) -> str:
    """Return a category as one would write it within a sentence.

    >>> readable("FLUID MILK PRODUCTS"), readable("Tea & Coffee")
    ('fluid milk products', 'Tea & Coffee')
    """
    return name.lower() if name.isupper() else name


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

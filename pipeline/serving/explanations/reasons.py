"""Reasons for a recommended item, in words.

The model's contributions choose the topics, the largest first; the request supplies the facts. A
reason is given if its topic adds to the item's score and its sentence is true of the request.
Topics that a shopper would not understand, such as the expected basket size, are left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pipeline.recommenders.base.requests import Requests
from pipeline.serving.explanations.catalogue import Catalogue

HABIT_DAYS = 120  # period of category habits
MAXIMUM_REASONS = 3
MINIMUM_SHARE = 0.1  # of all positive contributions
MINIMUM_TOGETHER = 2  # common baskets
MINIMUM_HABIT = 3  # purchases
MAJORITY = 0.5  # of purchases, stores or users
DUE_FRACTION = 0.75  # of the average interval
MINIMUM_REPEAT_FRACTION = 0.4  # of buyers
NEAR_HOURS = 2  # around the time of the request
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
    """A sentence and its topic."""

    kind: str
    text: str


class ReasonBuilder:
    """Builds the reasons for the items of one answer."""

    def __init__(self, request: Requests, catalogue: Catalogue) -> None:
        """Take a request (a batch of one) and the catalogue."""
        self._request = request
        self._catalogue = catalogue

    def build(
        self, item: int, why: Mapping[str, float], facts: Mapping[str, float]
    ) -> list[Reason]:
        """Return one to three reasons for an item, the most important first.

        Args:
            item: Item index.
            why: Contribution of each feature group to the score, see `recommender.Explanations`.
            facts: Offers for the item, as fractions of stores or users.
        """
        request = self._request
        start, end = np.searchsorted(request.item, [item, item + 1])
        lines = slice(int(start), int(end))
        builders: dict[str, Callable[[], Reason | None]] = {
            "frequency": lambda: self._frequency_reason(lines),
            "timing": lambda: self._timing_reason(lines),
            "due": lambda: self._due_reason(lines),
            "store": lambda: self._store_reason(lines),
            "hour": lambda: self._hour_reason(lines),
            "weekday": lambda: self._weekday_reason(lines),
            "again": lambda: self._repeat_reason(item),
            "offers": lambda: _offer_reason(facts),
            "popularity": lambda: self._popularity_reason(item),
            "category": lambda: self._category_reason(item),
            "quantity": lambda: self._quantity_reason(lines),
            "cart": lambda: self._cart_reason(item, lines),
            "viewed": lambda: self._viewed_reason(item),
            "taste": self._taste_reason,
            "profile": self._profile_reason,
        }
        attempts = (builders[topic]() for topic in rank_topics(why) if topic in builders)
        true = (reason for reason in attempts if reason is not None)
        reasons = list(islice(true, MAXIMUM_REASONS))
        if reasons:
            return reasons
        if end > start:
            return [Reason("bought", describe_purchases(request.age_days[lines]))]
        return [Reason("new", "New to you")]

    def _frequency_reason(self, lines: slice) -> Reason | None:
        n = lines.stop - lines.start
        return Reason("frequency", f"You bought it {n} times") if n > 1 else None

    def _timing_reason(self, lines: slice) -> Reason | None:
        ages = self._request.age_days[lines]
        return (
            Reason("recent", f"You bought it {_format_ago(float(ages.min()))}")
            if len(ages)
            else None
        )

    def _due_reason(self, lines: slice) -> Reason | None:
        """State the average purchase interval if the next purchase is due."""
        ages = self._request.age_days[lines]
        if len(ages) < MINIMUM_HABIT:
            return None
        last = float(ages.min())
        gap = (float(ages.max()) - last) / (len(ages) - 1)
        if gap < 1 or last < DUE_FRACTION * gap:
            return None
        return Reason("due", f"You buy it about every {_format_days(round(gap))}: due again")

    def _store_reason(self, lines: slice) -> Reason | None:
        stores, here = self._request.store[lines], int(self._request.at_store[0])
        mostly = len(stores) >= MINIMUM_HABIT and here and (stores == here).mean() > MAJORITY
        return Reason("store", "You mostly buy it in this store") if mostly else None

    def _hour_reason(self, lines: slice) -> Reason | None:
        """State that most purchases were at this time of day."""
        apart = np.abs(self._request.hour_of_week[lines] % DAY_HOURS - self._request.local_hour[0])
        near = np.minimum(apart, DAY_HOURS - apart) <= NEAR_HOURS
        mostly = len(near) >= MINIMUM_HABIT and near.mean() > MAJORITY
        return Reason("hour", "You mostly buy it at this time of day") if mostly else None

    def _weekday_reason(self, lines: slice) -> Reason | None:
        today = int(self._request.local_weekday[0])
        same = self._request.hour_of_week[lines] // DAY_HOURS == today
        mostly = len(same) >= MINIMUM_HABIT and same.mean() > MAJORITY
        return Reason("weekday", f"You mostly buy it on {WEEKDAYS[today]}") if mostly else None

    def _repeat_reason(self, item: int) -> Reason | None:
        fraction = float(self._catalogue.repeat_fraction[item])
        if fraction < MINIMUM_REPEAT_FRACTION:
            return None
        return Reason("again", f"{fraction:.0%} of the shoppers who try it buy it again")

    def _popularity_reason(self, item: int) -> Reason | None:
        n = int(self._catalogue.n_users[item])
        month = f"in the four weeks before {self._catalogue.as_of}"
        return Reason("popularity", f"{n:,} shoppers bought it {month}") if n > 1 else None

    def _category_reason(self, item: int) -> Reason | None:
        """State how often the item's category was bought, or that the item is the usual choice."""
        request, catalogue = self._request, self._catalogue
        name = readable_category(catalogue.categories[item])
        same = catalogue.category_code[request.item] == catalogue.category_code[item]
        recent = same & (request.age_days <= HABIT_DAYS)
        n = int(recent.sum())
        if not name or n < MINIMUM_HABIT:
            return None
        if (request.item[recent] == item).mean() > MAJORITY:
            return Reason("choice", f"Your usual choice of {name}")
        text = f"You often buy {name}: {n} times in the last {HABIT_DAYS} days"
        return Reason("category", text)

    def _quantity_reason(self, lines: slice) -> Reason | None:
        units = self._request.quantity[lines]
        usual = round(float(np.median(units))) if len(units) else 0
        return Reason("quantity", f"You usually take {usual} of it") if usual > 1 else None

    def _cart_reason(self, item: int, lines: slice) -> Reason | None:
        """Name the cart item most often bought with this one, or one of the same category."""
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
        same_category = self._first_in_category(item, request.cart_item.tolist())
        if same_category:
            return Reason("cart", f"Of the same kind as {same_category}, in your cart")
        if len(request.cart_item) and lines.start == lines.stop:
            return Reason("cart", "Goes with what is in your cart")
        return None

    def _viewed_reason(self, item: int) -> Reason | None:
        viewed = self._request.viewed_item.tolist()
        if item in viewed:
            return Reason("viewed", "You just looked at it")
        same_category = self._first_in_category(item, viewed)
        if same_category:
            return Reason("viewed", f"Of the same kind as {same_category}, just looked at")
        return Reason("viewed", "Goes with what you just looked at") if viewed else None

    def _first_in_category(self, item: int, others: list[int]) -> str:
        """Return the title of the first of the other items in the category of `item`, or ''."""
        code = self._catalogue.category_code
        name = self._catalogue.categories[item]
        same = [other for other in others if name and code[other] == code[item]]
        return self._catalogue.titles[same[0]] if same else ""

    def _taste_reason(self) -> Reason | None:
        has_history = len(self._request.item) > 0
        return Reason("taste", "Goes with what you usually buy") if has_history else None

    def _profile_reason(self) -> Reason | None:
        known = bool((self._request.user_attributes > 0).any())
        return Reason("profile", "Households like yours buy it") if known else None


TOPICS = {
    "timing": "timing",
    "history": "timing",
    "substitutes": "category",
    "affinity": "category",
}


def rank_topics(why: Mapping[str, float]) -> list[str]:
    """Return the topics with more than MINIMUM_SHARE of the positive contributions, largest first.

    Groups of the same topic are added up.

    >>> rank_topics({"timing": 1.0, "history": 2.0, "frequency": 2.5, "offers": 0.1, "cart": -4.0})
    ['timing', 'frequency']
    """
    total: dict[str, float] = {}
    for group, contribution in why.items():
        topic = TOPICS.get(group, group)
        total[topic] = total.get(topic, 0.0) + contribution
    positive = {topic: value for topic, value in total.items() if value > 0}
    least = MINIMUM_SHARE * sum(positive.values())
    ordered = sorted(positive, key=lambda topic: -positive[topic])
    return [topic for topic in ordered if positive[topic] > least]


def _offer_reason(facts: Mapping[str, float]) -> Reason | None:
    """Name the first current offer, and whether only some users or stores have it."""
    for name, sentence in OFFERS.items():
        fraction = facts.get(name, 0.0)
        if fraction > 0:
            part = "for some shoppers" if name.startswith("coupon") else "in some stores"
            return Reason("offers", sentence if fraction > MAJORITY else f"{sentence} {part}")
    return None


def readable_category(name: str) -> str:
    """Return a category as it is written within a sentence.

    >>> readable_category("FLUID MILK PRODUCTS"), readable_category("Tea & Coffee")
    ('fluid milk products', 'Tea & Coffee')
    """
    return name.lower() if name.isupper() else name


def describe_purchases(age_days: "np.typing.NDArray[np.float32]") -> str:
    """Return how often, how long ago and how regularly an item was bought.

    >>> describe_purchases(np.array([9.0, 21.0, 33.0], dtype=np.float32))
    'You bought it 3 times, last 9 days ago, about every 12 days'
    """
    last, n = float(age_days.min()), len(age_days)
    if n == 1:
        return f"You bought it once, {_format_ago(last)}"
    sentence = f"You bought it {n} times, last {_format_ago(last)}"
    gap = round((float(age_days.max()) - last) / (n - 1))
    # Two purchases have one interval, which is not a habit yet.
    return f"{sentence}, about every {_format_days(gap)}" if n > 2 and gap >= 1 else sentence  # noqa: PLR2004


def _format_ago(days: float) -> str:
    return f"{_format_days(int(days))} ago" if days >= 1 else "less than a day ago"


def _format_days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"

"""A bundle without TensorFlow: five items, two shoppers, and a method one can follow by hand."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from pipeline.params import ServingParams
from pipeline.recommenders.histories import Histories, build_histories
from pipeline.recommenders.recommender import Explanations, Recommendations
from pipeline.recommenders.requests import Requests
from pipeline.recommenders.vocabulary import Vocabulary
from tests import tiny_shop

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
ITEMS = ("bread", "coffee", "jam", "milk", "tea")
BREAD, COFFEE, JAM, MILK, TEA = range(1, 6)
REPEAT, EXPLORE, POPULAR = range(3)


def purchases(rows: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    """Events from (user, item, ISO time, basket)."""
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", "basket_id"])
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
    return frame.assign(event_type="purchase", quantity=1.0, price=2.0)


ANN = [
    ("ann", item, f"2024-02-{day:02d}T09:00:00Z", f"a{day}")
    for day, items in ((1, ("milk", "bread")), (11, ("milk", "bread")), (21, ("milk", "jam")))
    for item in items
]
BOB = [("bob", "tea", "2024-02-25T09:00:00Z", "b1")]


@dataclass
class CountingRecommender:
    """The most often bought first, then what was just looked at, then the vocabulary's order."""

    name: str = "counting"
    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary(ITEMS))
    requests: list[Requests] = field(default_factory=list)

    def recommend(self, requests: Requests, k: int, *, explore_slots: int = 0) -> Recommendations:
        self.requests.append(requests)
        counts = np.bincount(requests.item, minlength=len(self.vocabulary)).astype(float)
        bought = counts > 0
        scores = counts + 0.5 * np.isin(np.arange(len(counts)), requests.viewed_item)
        offered = [
            index
            for index in np.argsort(-scores, kind="stable").tolist()
            if index > 0 and index not in requests.cart_item
        ]
        repeat = [index for index in offered if bought[index]][: k - explore_slots]
        rest = [index for index in offered if index not in repeat]
        rest.sort(key=lambda index: bought[index])
        chosen = [*repeat, *rest][:k]
        slots = [REPEAT if bought[index] else EXPLORE for index in chosen]
        padding = k - len(chosen)
        return Recommendations(
            items=np.array([[*chosen, *[0] * padding]], dtype=np.int32),
            scores=np.array([[*scores[chosen], *[0.0] * padding]], dtype=np.float32),
            slots=np.array([[*slots, *[POPULAR] * padding]], dtype=np.int8),
        )

    def explain(
        self, requests: Requests, k: int, *, explore_slots: int = 0
    ) -> tuple[Recommendations, Explanations]:
        """Own items are there as they are due and often bought, others for a look or nothing."""
        found = self.recommend(requests, k, explore_slots=explore_slots)
        counts = np.bincount(requests.item, minlength=len(self.vocabulary))[found.items]
        viewed = 0.5 * np.isin(found.items, requests.viewed_item)
        why = np.stack([0.6 * counts, 0.4 * counts, viewed], axis=2).astype(np.float32)
        nothing = np.zeros((*found.items.shape, 0), dtype=np.float32)
        return found, Explanations(("due", "frequency", "viewed"), why, (), nothing)


@dataclass
class FakeBundle:
    """What serving needs of a bundle."""

    recommender: CountingRecommender = field(default_factory=CountingRecommender)
    manifest: dict[str, Any] = field(
        default_factory=lambda: {
            "version": "0123456789ab",
            "model": {"name": "counting", "family": "test"},
            "as_of": "2024-03-01",
            "timezone": "UTC",
            "files": {},
        }
    )
    histories: Histories = field(
        default_factory=lambda: build_histories(purchases([*ANN, *BOB]), Vocabulary(ITEMS))
    )
    attributes: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame({"age": [3]}, index=pd.Index(["ann"], dtype=str))
    )
    items: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(
            {
                "item_id": ITEMS,
                "title": ["Bread", "Coffee", "Jam", "Milk", None],
                "department": "GROCERY",
                "category": ["BAKERY", "HOT DRINKS", "SPREADS", "DAIRY", "HOT DRINKS"],
                "type": [None, None, None, None, "Black tea"],
                "brand": None,
            }
        )
    )


def serving_params(**changes: Any) -> ServingParams:
    """The project's section, changed."""
    return ServingParams.model_validate({**_section(), **changes})


@cache
def _section() -> dict[str, Any]:
    found: dict[str, Any] = tiny_shop.params()["serving"]
    return found

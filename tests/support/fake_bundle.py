"""A bundle without TensorFlow: five items, two shoppers, and a recommender easy to follow."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from pipeline.bundles.manifest import BundledData, BundledModel, BundleManifest
from pipeline.contracts.params import ServingParams
from pipeline.recommenders.base.histories import Histories, build_histories
from pipeline.recommenders.base.recommender import (
    Explanations,
    Ranked,
    Recommendations,
    Why,
    fill_places,
)
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from tests.support import tiny_shop

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
ITEMS = ("bread", "coffee", "jam", "milk", "tea")
BREAD, COFFEE, JAM, MILK, TEA = range(1, 6)


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
    """Ranks by frequency of purchase, then recent views, then the vocabulary's order."""

    name: str = "counting"
    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary(ITEMS))
    requests: list[Requests] = field(default_factory=list)

    def rank(self, requests: Requests, k: int) -> Ranked:
        self.requests.append(requests)
        rows = [self._lists(requests.part(row, row + 1), k) for row in range(len(requests))]
        return Ranked(
            *(np.concatenate([row[at] for row in rows]) for at in range(6)),
        )

    def _lists(self, request: Requests, k: int) -> list[np.ndarray[Any, Any]]:
        counts = np.bincount(request.item, minlength=len(self.vocabulary)).astype(float)
        scores = counts + 0.5 * np.isin(np.arange(len(counts)), request.viewed_item)
        offered = [
            index
            for index in np.argsort(-scores, kind="stable").tolist()
            if index > 0 and index not in request.cart_item
        ]
        repeat = [index for index in offered if counts[index] > 0]
        explore = [index for index in offered if counts[index] == 0]
        arrays = []
        for chosen in (repeat, explore, sorted(offered)):
            padded = [*chosen, *[0] * k][:k]
            arrays.append(np.array([padded], dtype=np.int32))
            arrays.append(np.where(arrays[-1] > 0, scores[padded], 0.0).astype(np.float32))
        return arrays

    def rank_explained(self, requests: Requests, k: int) -> tuple[Ranked, Why]:
        """Return reasons: due and frequent for repeat candidates, a view or none for others."""
        ranked = self.rank(requests, k)
        lists = (ranked.repeat_items, ranked.explore_items, ranked.popular_items)
        items = np.concatenate(lists, axis=1)

        def why(places: np.ndarray[Any, Any]) -> Explanations:
            chosen = np.where(places >= 0, np.take_along_axis(items, places, axis=1), 0)
            parts = [requests.part(row, row + 1) for row in range(len(requests))]
            n_items = len(self.vocabulary)
            counts = np.stack(
                [
                    np.bincount(part.item, minlength=n_items)[row]
                    for part, row in zip(parts, chosen, strict=True)
                ]
            )
            viewed = np.stack(
                [
                    0.5 * np.isin(row, part.viewed_item)
                    for part, row in zip(parts, chosen, strict=True)
                ]
            )
            added = np.stack([0.6 * counts, 0.4 * counts, viewed], axis=2).astype(np.float32)
            nothing = np.zeros((*chosen.shape, 0), dtype=np.float32)
            return Explanations(("due", "frequency", "viewed"), added, (), nothing)

        return ranked, why

    def recommend(self, requests: Requests, k: int, *, explore_slots: int = 0) -> Recommendations:
        return fill_places(self.rank(requests, k), k, explore_slots)[0]

    def explain(
        self, requests: Requests, k: int, *, explore_slots: int = 0
    ) -> tuple[Recommendations, Explanations]:
        ranked, why = self.rank_explained(requests, k)
        recommendations, places = fill_places(ranked, k, explore_slots)
        return recommendations, why(places)


def make_manifest(name: str, as_of: str = "2024-03-01") -> BundleManifest:
    """Return the manifest of a bundle without files."""
    return BundleManifest(
        version="0123456789ab",
        model=BundledModel(name=name),
        as_of=as_of,
        timezone="UTC",
        git_commit="0" * 40,
        data=BundledData(clean="c", examples="e"),
        files={},
    )


@dataclass
class FakeBundle:
    """The interface of a bundle that serving uses."""

    recommender: CountingRecommender = field(default_factory=CountingRecommender)
    manifest: BundleManifest = field(default_factory=lambda: make_manifest("counting"))
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
    """Return the project's section with changes."""
    return ServingParams.model_validate({**_section(), **changes})


@cache
def _section() -> dict[str, Any]:
    section: dict[str, Any] = tiny_shop.params()["serving"]
    return section

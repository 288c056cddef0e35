"""Similar items: those bought in the same baskets more often than their popularity explains.

The score is the number of baskets with both items, divided by the number of baskets with the other
item to the power of POPULARITY_POWER: otherwise bananas would be similar to everything. The power
was chosen on later baskets (docs/experiments.md). If an item has too few similar items, popular
items of its category fill the list.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.vocabulary import Ints
from pipeline.serving.explanations.catalogue import Catalogue
from pipeline.serving.explanations.reasons import readable_category
from pipeline.serving.payloads import Payload

POPULARITY_POWER = 0.25
MINIMUM_TOGETHER = 2


class SimilarQuery(Payload):
    """Query parameters of GET /similar/{item_id}, parsed from text."""

    model_config = ConfigDict(strict=False)

    k: int | None = Field(None, ge=1, description="How many items; serving.default_k if absent.")


class SimilarItem(Payload):
    """One similar item."""

    item_id: str
    title: str
    rank: int = Field(description="From 1.")
    score: float = Field(
        description="Higher is more similar; 0 for items that only share the category."
    )
    reason: str


class SimilarAnswer(Payload):
    """Answer to GET /similar/{item_id}."""

    item_id: str
    title: str
    model_version: str
    items: list[SimilarItem]


class SimilarityIndex:
    """Co-purchase counts of items.

    Attributes:
        n_baskets: [n_items + 1] number of baskets with each item, at least 1.
    """

    def __init__(self, histories: Histories, catalogue: Catalogue) -> None:
        """Index the purchases; takes some seconds for a large shop.

        Args:
            histories: All purchases.
            catalogue: Titles and categories.
        """
        self._catalogue = catalogue
        n_items, item = len(catalogue.ids), histories.item
        counts = np.bincount(item, minlength=n_items)
        basket = _number_baskets(histories)
        n_baskets = int(basket.max(initial=-1)) + 1
        self.n_baskets = np.maximum(counts, 1)
        self._baskets_by_item = basket[np.argsort(item, kind="stable")]
        self._item_splits = np.concatenate([[0], np.cumsum(counts)])
        self._items_by_basket = item[np.argsort(basket, kind="stable")]
        sizes = np.bincount(basket, minlength=n_baskets)
        self._basket_splits = np.concatenate([[0], np.cumsum(sizes)])

    def find(self, item: int, k: int, blocked: AbstractSet[int]) -> list[SimilarItem]:
        """Return the items most similar to one item.

        Args:
            item: Item index.
            k: Maximum number of items.
            blocked: Item indices to leave out.
        """
        together = self.count_together(item)
        scores = together / self.n_baskets**POPULARITY_POWER
        scores[together < MINIMUM_TOGETHER] = 0.0
        similar = [
            (index, float(scores[index]), f"Bought together {together[index]:,} times")
            for index in _top_indices(scores, k + len(blocked))
        ]
        category = readable_category(self._catalogue.categories[item])
        taken = {index for index, _, _ in similar} | {item}
        similar += [
            (index, 0.0, f"Popular in {category}")
            for index in self._popular_in_category(item, k + len(blocked))
            if index not in taken
        ]
        available = [entry for entry in similar if entry[0] not in blocked][:k]
        return [
            SimilarItem(
                item_id=self._catalogue.ids[index],
                title=self._catalogue.titles[index],
                rank=rank,
                score=score,
                reason=reason,
            )
            for rank, (index, score, reason) in enumerate(available, start=1)
        ]

    def count_together(self, item: int) -> npt.NDArray[np.int64]:
        """Return [n_items + 1] the number of baskets with `item` and each item; 0 for itself."""
        start, stop = self._item_splits[[item, item + 1]]
        baskets = self._baskets_by_item[start:stop]
        starts = self._basket_splits[baskets]
        lengths = self._basket_splits[baskets + 1] - starts
        offsets = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
        neighbours = self._items_by_basket[np.arange(len(offsets)) + offsets]
        counts = np.bincount(neighbours, minlength=len(self._catalogue.ids))
        counts[item] = 0
        return counts

    def _popular_in_category(self, item: int, n: int) -> Sequence[int]:
        code = self._catalogue.category_code
        if not self._catalogue.categories[item]:
            return []
        same = np.flatnonzero(code == code[item])
        order = np.lexsort((same, -self.n_baskets[same]))
        return [int(index) for index in same[order][: n + 1]]


def _number_baskets(histories: Histories) -> Ints:
    """Return [n_lines] the basket of each line, numbered over all users from 0."""
    lengths = np.diff(histories.row_splits)
    filled = lengths > 0
    n_of_user = np.zeros(len(lengths), dtype=np.int64)
    starts = histories.row_splits[:-1][filled]
    if len(starts):
        n_of_user[filled] = np.maximum.reduceat(histories.basket, starts) + 1
    first = np.cumsum(n_of_user) - n_of_user
    return np.asarray(np.repeat(first, lengths) + histories.basket, dtype=np.int32)


def _top_indices(scores: npt.NDArray[np.float64], n: int) -> list[int]:
    """Return the indices of the `n` largest positive scores; ties in index order."""
    above = np.flatnonzero(scores > 0)
    order = np.lexsort((above, -scores[above]))[:n]
    return [int(index) for index in above[order]]

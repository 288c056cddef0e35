"""Items like one: those that were bought in the same baskets more often than their sales explain.

How often two items were in one basket says what goes together, but everything is often bought with
bananas: the count is divided by the sales of the other item to the power of POPULARITY_POWER, which
was chosen by what else was in later baskets (docs/experiments.md). The list of an item that was
rarely bought is filled up with what is popular in its category.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.vocabulary import Ints
from pipeline.serving.explanations.catalogue import Catalogue
from pipeline.serving.explanations.reasons import readable
from pipeline.serving.payloads import Payload

POPULARITY_POWER = 0.25
MINIMUM_TOGETHER = 2


class SimilarQuery(Payload):
    """Query of GET /similar/{item_id}; it comes as text."""

    model_config = ConfigDict(strict=False)

    k: int | None = Field(None, ge=1, description="How many items; serving.default_k if absent.")


class SimilarItem(Payload):
    """One item that is like the one asked for."""

    item_id: str
    title: str
    rank: int = Field(description="From 1.")
    score: float = Field(description="Higher is more alike; 0 for what only is of the same kind.")
    reason: str


class SimilarAnswer(Payload):
    """Answer to GET /similar/{item_id}."""

    item_id: str
    title: str
    model_version: str
    items: list[SimilarItem]


class Similar:
    """Which items were bought together.

    Attributes:
        n_baskets: [n_items] baskets with each item, at least 1.
    """

    def __init__(self, histories: Histories, catalogue: Catalogue) -> None:
        """Index the purchases; before the service is ready, as it takes a moment for large shops.

        Args:
            histories: All purchases.
            catalogue: Titles, categories and sales.
        """
        self._catalogue = catalogue
        n_items, item = len(catalogue.ids), histories.item
        counts = np.bincount(item, minlength=n_items)
        basket = _baskets(histories)
        n_baskets = int(basket.max(initial=-1)) + 1
        self.n_baskets = np.maximum(counts, 1)
        self._baskets_by_item = basket[np.argsort(item, kind="stable")]
        self._item_splits = np.concatenate([[0], np.cumsum(counts)])
        self._items_by_basket = item[np.argsort(basket, kind="stable")]
        sizes = np.bincount(basket, minlength=n_baskets)
        self._basket_splits = np.concatenate([[0], np.cumsum(sizes)])

    def to(self, item: int, k: int, blocked: AbstractSet[int]) -> list[SimilarItem]:
        """Return at most `k` items like `item`, the most alike first, without the blocked ones."""
        together = self.together(item)
        scores = together / self.n_baskets**POPULARITY_POWER
        scores[together < MINIMUM_TOGETHER] = 0.0
        found = [
            (at, float(scores[at]), f"Bought together {together[at]:,} times")
            for at in _best(scores, k + len(blocked))
        ]
        kind = readable(self._catalogue.groups[item])
        taken = {at for at, _, _ in found} | {item}
        found += [
            (at, 0.0, f"Popular in {kind}")
            for at in self._of_its_kind(item, k + len(blocked))
            if at not in taken
        ]
        shown = [each for each in found if each[0] not in blocked][:k]
        return [
            SimilarItem(
                item_id=self._catalogue.ids[at],
                title=self._catalogue.titles[at],
                rank=rank,
                score=score,
                reason=reason,
            )
            for rank, (at, score, reason) in enumerate(shown, start=1)
        ]

    def together(self, item: int) -> npt.NDArray[np.int64]:
        """Return [n_items] in how many baskets each item was beside `item`; 0 for itself."""
        start, stop = self._item_splits[[item, item + 1]]
        baskets = self._baskets_by_item[start:stop]
        starts = self._basket_splits[baskets]
        lengths = self._basket_splits[baskets + 1] - starts
        offsets = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
        beside = self._items_by_basket[np.arange(len(offsets)) + offsets]
        counts = np.bincount(beside, minlength=len(self._catalogue.ids))
        counts[item] = 0
        return counts

    def _of_its_kind(self, item: int, n: int) -> Sequence[int]:
        code = self._catalogue.group_code
        if not self._catalogue.groups[item]:
            return []
        same = np.flatnonzero(code == code[item])
        order = np.lexsort((same, -self.n_baskets[same]))
        return [int(at) for at in same[order][: n + 1]]


def _baskets(histories: Histories) -> Ints:
    """Return [n_lines] the number of each line's basket among those of all shoppers."""
    lengths = np.diff(histories.row_splits)
    filled = lengths > 0
    n_of_user = np.zeros(len(lengths), dtype=np.int64)
    starts = histories.row_splits[:-1][filled]
    if len(starts):
        n_of_user[filled] = np.maximum.reduceat(histories.basket, starts) + 1
    first = np.cumsum(n_of_user) - n_of_user
    return np.asarray(np.repeat(first, lengths) + histories.basket, dtype=np.int32)


def _best(scores: npt.NDArray[np.float64], n: int) -> list[int]:
    """Return where the `n` largest scores above 0 are; of equal ones the first."""
    above = np.flatnonzero(scores > 0)
    order = np.lexsort((above, -scores[above]))[:n]
    return [int(at) for at in above[order]]

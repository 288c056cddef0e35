"""The interface of every recommender, from the Keras ranker to the frequency baselines.

Every method yields a TensorFlow graph with the same signature. That graph is tested, bundled and
served, so a baseline can be deployed if it is the best method.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.contracts.errors import RequestError
from pipeline.recommenders.base.histories import Floats
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.vocabulary import Ints, Vocabulary

SLOTS = ("repeat", "explore", "popular")


@dataclass(frozen=True)
class Recommendations:
    """Ranked lists, one per request.

    Attributes:
        items: [n, k] item index, best first; padded with 0.
        scores: [n, k] higher is better; comparable within a request and a slot.
        slots: [n, k] index into SLOTS: the list that the item comes from.
    """

    items: Ints
    scores: Floats
    slots: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Explanations:
    """Contributions to the scores of `Recommendations`, and facts about their items.

    Attributes:
        groups: Names of the contributions.
        why: [n, k, n_groups] contribution of each group to the score, relative to the average
            candidate; may be negative.
        facts: Names of the facts.
        values: [n, k, n_facts] values of the facts.
    """

    groups: tuple[str, ...]
    why: Floats
    facts: tuple[str, ...]
    values: Floats

    def of(self, row: int, rank: int) -> tuple[dict[str, float], dict[str, float]]:
        """Return the contributions and the facts of one item by name; `rank` from 0."""
        return (
            dict(zip(self.groups, self.why[row, rank].tolist(), strict=True)),
            dict(zip(self.facts, self.values[row, rank].tolist(), strict=True)),
        )


@dataclass(frozen=True)
class Ranked:
    """Three ranked lists per request, as the graph returns them.

    Each is [n, k], padded with 0, without items in the cart: repeat candidates, new items and
    popular items.
    """

    repeat_items: Ints
    repeat_scores: Floats
    explore_items: Ints
    explore_scores: Floats
    popular_items: Ints
    popular_scores: Floats


# Explains the items at [n, k] columns of the lists of `Ranked`, concatenated in the order of SLOTS;
# -1 for no item.
Why = Callable[[npt.NDArray[np.intp]], Explanations]


class Recommender(Protocol):
    """A fitted method: a graph from raw requests to ranked items."""

    @property
    def name(self) -> str:
        """Name of the method in reports."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """Items that the method can recommend."""
        ...

    def rank(self, requests: Requests, k: int) -> Ranked:
        """Return the top `k` items of each list, per request.

        Raises:
            RequestError: k < 1.
        """
        ...

    def recommend(self, requests: Requests, k: int, *, explore_slots: int = 0) -> Recommendations:
        """Return the top `k` items per request, without those in its cart.

        The first `k - explore_slots` items are repeat candidates, the rest are new items. A list
        that runs out is filled from the other one, then from popular items. A user without
        purchases gets popular items instead of repeat candidates. `k` may exceed the catalogue.

        Raises:
            RequestError: k < 1, or explore_slots not in 0..k.
        """
        ...

    def rank_explained(self, requests: Requests, k: int) -> tuple[Ranked, Why]:
        """Return the lists of `rank`, and a function that explains chosen items of these lists.

        Raises:
            RequestError: k < 1.
        """
        ...

    def explain(
        self, requests: Requests, k: int, *, explore_slots: int = 0
    ) -> tuple[Recommendations, Explanations]:
        """Return the items of `recommend` with their explanations.

        Raises:
            RequestError: k < 1, or explore_slots not in 0..k.
        """
        ...

    def save(self, path: Path) -> None:
        """Write the graph and its vocabulary to a new folder.

        `path/saved_model/` holds the TensorFlow SavedModel, `path/model.json` its description
        (name, settings, cut-off, epochs), `path/vocabulary.json` the item ids.
        """
        ...


def check_sizes(k: int, explore_slots: int = 0) -> None:
    """Check the sizes of a request.

    Raises:
        RequestError: k < 1, or explore_slots not in 0..k.
    """
    if k < 1:
        raise RequestError("a k of at least 1", received=str(k), action="Ask for one item or more.")
    if not 0 <= explore_slots <= k:
        raise RequestError(
            f"explore_slots in 0..k = {k}",
            received=str(explore_slots),
            action="Ask for fewer explore slots, or for more items.",
        )


def fill_slots(ranked: Ranked, k: int, explore_slots: int) -> Recommendations:
    """Return one list per request: repeat candidates, then explore items, then popular items.

    A list that runs out is filled from the next; no item appears twice. A request without repeat
    candidates gets popular items instead, because the explore list predicts first purchases of
    new users poorly (docs/cold-start.md).
    """
    return fill_places(ranked, k, explore_slots)[0]


def fill_places(
    ranked: Ranked, k: int, explore_slots: int
) -> tuple[Recommendations, npt.NDArray[np.intp]]:
    """Return `fill_slots` and [n, k] the source column of each item, -1 for no item.

    The columns are those of the lists concatenated in the order of SLOTS.
    """
    lists = ranked.repeat_items, ranked.explore_items, ranked.popular_items
    items = np.concatenate(lists, axis=1)
    scores = np.concatenate(
        [ranked.repeat_scores, ranked.explore_scores, ranked.popular_scores], axis=1
    )
    slots = np.repeat(np.arange(len(lists)), [ranked_list.shape[1] for ranked_list in lists])
    repeat, explore, popular = (np.flatnonzero(slots == slot) for slot in range(len(lists)))
    n_repeat = k - explore_slots
    known = np.concatenate(
        [
            *(repeat[:n_repeat], explore[:explore_slots]),
            *(repeat[n_repeat:], explore[explore_slots:], popular),
        ]
    )
    unknown = np.concatenate([popular[:n_repeat], explore, popular[n_repeat:], repeat])
    has_repeats = (ranked.repeat_items > 0).any(axis=1, keepdims=True)
    columns = np.where(has_repeats, known, unknown)
    rows = np.arange(len(items))[:, None]
    candidates = items[rows, columns]
    usable = (candidates > 0) & _is_first(candidates)
    order = np.argsort(~usable, axis=1, kind="stable")[:, :k]
    is_filled, places = usable[rows, order], columns[rows, order]
    recommendations = Recommendations(
        items=_widen(np.where(is_filled, items[rows, places], 0), k).astype(np.int32),
        scores=_widen(np.where(is_filled, scores[rows, places], 0.0), k).astype(np.float32),
        slots=_widen(slots[places], k).astype(np.int8),
    )
    return recommendations, _widen(np.where(is_filled, places, -1) + 1, k) - 1


def _is_first(items: Ints) -> npt.NDArray[np.bool_]:
    """Return [n, k] whether an item is its first occurrence in the row."""
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    first = np.ones(items.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    result = np.empty_like(first)
    np.put_along_axis(result, order, first, axis=1)
    return result


def _widen(values: npt.NDArray[Any], k: int) -> npt.NDArray[Any]:
    """Return the values padded with 0 to `k` columns."""
    missing = min(k, 1_000_000) - values.shape[1]
    return np.pad(values, ((0, 0), (0, missing))) if missing > 0 else values

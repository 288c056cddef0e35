"""What every recommender can do, the Keras ranker and the classical baselines alike.

Fitting yields a TensorFlow graph with one signature, whatever the method. That graph is what is
tested, bundled and served, so the best method can be deployed even when it is a classical one.
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
    """Ranked answers.

    Attributes:
        items: [n, k] item index, best first; 0 fills up when there is nothing more to recommend.
        scores: [n, k] higher is better; comparable within a request and a slot.
        slots: [n, k] index into SLOTS: why the item is there.
    """

    items: Ints
    scores: Floats
    slots: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Explanations:
    """Why the items of `Recommendations` are there, as the method itself has it.

    Attributes:
        groups: Names of what contributes to a score.
        why: [n, k, n_groups] how much each adds to the score, compared with an item that is in
            this like the others that were to choose from; negative where it takes away.
        facts: Names of what else the method knows of the item.
        values: [n, k, n_facts].
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

    Each is [n, k], 0 where it has nothing more, without what is in the cart: what the user bought
    before, what they did not, and what is popular.
    """

    repeat_items: Ints
    repeat_scores: Floats
    explore_items: Ints
    explore_scores: Floats
    popular_items: Ints
    popular_scores: Floats


# Explains the items at [n, k] places: columns of the lists of `Ranked` side by side in the order of
# SLOTS, -1 for no item.
Why = Callable[[npt.NDArray[np.intp]], Explanations]


class Recommender(Protocol):
    """A fitted method: a graph from raw requests to ranked items."""

    @property
    def name(self) -> str:
        """Its name in reports."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The items that it knows."""
        ...

    def rank(self, requests: Requests, k: int) -> Ranked:
        """Return the best `k` items per request of each kind.

        Raises:
            RequestError: k < 1.
        """
        ...

    def recommend(self, requests: Requests, k: int, *, explore_slots: int = 0) -> Recommendations:
        """Return the best `k` items per request, without those in its cart.

        The first `k - explore_slots` come from what the user bought before, the rest from what
        they did not; each fills up from the other, then from what is popular. Who bought nothing
        yet gets what is popular in place of repeats.
        `k` may exceed the catalogue.

        Raises:
            RequestError: k < 1, or explore_slots not in 0..k.
        """
        ...

    def rank_explained(self, requests: Requests, k: int) -> tuple[Ranked, Why]:
        """Return what `rank` does, and what explains the items that are chosen of it.

        Raises:
            RequestError: k < 1.
        """
        ...

    def explain(
        self, requests: Requests, k: int, *, explore_slots: int = 0
    ) -> tuple[Recommendations, Explanations]:
        """Return what `recommend` does, and why.

        Raises:
            RequestError: k < 1, or explore_slots not in 0..k.
        """
        ...

    def save(self, path: Path) -> None:
        """Write the graph and its vocabulary to a new folder.

        `path/saved_model/` is the TensorFlow SavedModel, `path/model.json` says what it is
        (name, settings, cut-off, epochs), `path/vocabulary.json` lists the item ids.
        """
        ...


def check_sizes(k: int, explore_slots: int = 0) -> None:
    """Check what is asked of a recommender.

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
    """Return one list per request: repeat items first, then explore items, then popular ones.

    A kind that runs out is filled up from the next; no item comes twice. A request without repeat
    items takes popular ones in their place: what is new to most shoppers, which the explore list
    learns, says little of what somebody buys for the first time (docs/cold-start.md).
    """
    return fill_places(ranked, k, explore_slots)[0]


def fill_places(
    ranked: Ranked, k: int, explore_slots: int
) -> tuple[Recommendations, npt.NDArray[np.intp]]:
    """Return `fill_slots` and [n, k] where each came from: a column of the lists side by side.

    The lists are in the order of SLOTS; -1 where there is no item.
    """
    lists = ranked.repeat_items, ranked.explore_items, ranked.popular_items
    items = np.concatenate(lists, axis=1)
    scores = np.concatenate(
        [ranked.repeat_scores, ranked.explore_scores, ranked.popular_scores], axis=1
    )
    slots = np.repeat(np.arange(len(lists)), [each.shape[1] for each in lists])
    repeat, explore, popular = (np.flatnonzero(slots == slot) for slot in range(len(lists)))
    wanted = k - explore_slots
    known = np.concatenate(
        [
            *(repeat[:wanted], explore[:explore_slots]),
            *(repeat[wanted:], explore[explore_slots:], popular),
        ]
    )
    unknown = np.concatenate([popular[:wanted], explore, popular[wanted:], repeat])
    has_repeats = (ranked.repeat_items > 0).any(axis=1, keepdims=True)
    columns = np.where(has_repeats, known, unknown)
    rows = np.arange(len(items))[:, None]
    asked = items[rows, columns]
    usable = (asked > 0) & _is_first(asked)
    order = np.argsort(~usable, axis=1, kind="stable")[:, :k]
    kept, places = usable[rows, order], columns[rows, order]
    found = Recommendations(
        items=_wide(np.where(kept, items[rows, places], 0), k).astype(np.int32),
        scores=_wide(np.where(kept, scores[rows, places], 0.0), k).astype(np.float32),
        slots=_wide(slots[places], k).astype(np.int8),
    )
    return found, _wide(np.where(kept, places, -1) + 1, k) - 1


def _is_first(items: Ints) -> npt.NDArray[np.bool_]:
    """Return where an item of its row occurs for the first time."""
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    first = np.ones(items.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    result = np.empty_like(first)
    np.put_along_axis(result, order, first, axis=1)
    return result


def _wide(values: npt.NDArray[Any], k: int) -> npt.NDArray[Any]:
    missing = min(k, 1_000_000) - values.shape[1]
    return np.pad(values, ((0, 0), (0, missing))) if missing > 0 else values

"""What every recommender can do, the Keras ranker and the classical baselines alike.

Fitting yields a TensorFlow graph with one signature, whatever the method. That graph is what is
tested, bundled and served, so the best method can be deployed even when it is a classical one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.errors import RequestError
from pipeline.recommenders.requests import Floats, Ints, Requests, Vocabulary

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
        they did not; each fills up from the other, then from what is popular.
        `k` may exceed the catalogue.

        Raises:
            RequestError: k < 1, or explore_slots not in 0..k.
        """
        ...

    def save(self, path: Path) -> None:
        """Write the graph and its vocabulary to a new folder.

        `path/saved_model/` is the TensorFlow SavedModel, `path/model.json` says what it is
        (name, settings, cut-off, epochs), `path/vocabulary.txt` has one item id per line.
        """
        ...


def check_sizes(k: int, explore_slots: int = 0) -> None:
    """Check what is asked of a recommender.

    Raises:
        RequestError: k < 1, or explore_slots not in 0..k.
    """
    if k < 1:
        raise RequestError(
            "k must be at least 1", received=str(k), action="Ask for one item or more."
        )
    if not 0 <= explore_slots <= k:
        raise RequestError(
            f"explore_slots must lie in 0..k = {k}",
            received=str(explore_slots),
            action="Ask for fewer explore slots, or for more items.",
        )


def fill_slots(ranked: Ranked, k: int, explore_slots: int) -> Recommendations:
    """Return one list per request: repeat items first, then explore items, then popular ones.

    A kind that runs out is filled up from the next; no item comes twice.
    """
    n, width = ranked.repeat_items.shape
    wanted = min(k - explore_slots, width)
    pieces = [
        (ranked.repeat_items[:, :wanted], ranked.repeat_scores[:, :wanted], 0),
        (ranked.explore_items[:, :explore_slots], ranked.explore_scores[:, :explore_slots], 1),
        (ranked.repeat_items[:, wanted:], ranked.repeat_scores[:, wanted:], 0),
        (ranked.explore_items[:, explore_slots:], ranked.explore_scores[:, explore_slots:], 1),
        (ranked.popular_items, ranked.popular_scores, 2),
    ]
    items = np.concatenate([piece[0] for piece in pieces], axis=1)
    scores = np.concatenate([piece[1] for piece in pieces], axis=1)
    slots = np.concatenate([np.full(p[0].shape, p[2], dtype=np.int8) for p in pieces], axis=1)
    usable = (items > 0) & _is_first(items)
    order = np.argsort(~usable, axis=1, kind="stable")[:, :k]
    rows = np.arange(n)[:, None]
    kept = usable[rows, order]
    return Recommendations(
        items=_wide(np.where(kept, items[rows, order], 0), k).astype(np.int32),
        scores=_wide(np.where(kept, scores[rows, order], 0.0), k).astype(np.float32),
        slots=_wide(slots[rows, order], k).astype(np.int8),
    )


def _is_first(items: Ints) -> npt.NDArray[np.bool_]:
    """Return where an item of its row occurs for the first time."""
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    first = np.ones(items.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    result = np.empty_like(first)
    np.put_along_axis(result, order, first, axis=1)
    return result


def _wide(values: npt.NDArray[np.generic], k: int) -> npt.NDArray[np.generic]:
    missing = min(k, 1_000_000) - values.shape[1]
    return np.pad(values, ((0, 0), (0, missing))) if missing > 0 else values

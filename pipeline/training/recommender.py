"""What every recommender can do, the Keras ranker and the classical baselines alike.

Fitting yields a TensorFlow graph with one signature, whatever the method. That graph is what is
tested, bundled and served, so the best method can be deployed even when it is a classical one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.params import ShopParams, TrainingParams
from pipeline.training.requests import Floats, Histories, Ints, Requests, Vocabulary

if TYPE_CHECKING:
    from pipeline.tracking import Run

SLOTS = ("repeat", "explore", "popular")


@dataclass(frozen=True)
class Shop:
    """All that a recommender may learn from: nothing in it is later than `cutoff`.

    `offers` are planned ahead by the retailer: they may reach beyond the cut-off.

    Attributes:
        cutoff: Seconds since 1970; the first moment that is unknown.
        vocabulary: Items sold before the cut-off.
        items: schemas.ITEMS rows in vocabulary order; row i describes index i + 1.
        events: schemas.EVENTS purchases before the cut-off.
        histories: The same purchases in request layout.
        users: schemas.USERS, attributes of the users.
        offers: schemas.OFFERS.
        train: schemas.EXAMPLES to learn from.
        validation: schemas.EXAMPLES to choose by; empty in the final fit on all data.
    """

    cutoff: float
    vocabulary: Vocabulary
    items: pd.DataFrame
    events: pd.DataFrame
    histories: Histories
    users: pd.DataFrame
    offers: pd.DataFrame
    train: pd.DataFrame
    validation: pd.DataFrame


@dataclass(frozen=True)
class Recommendations:
    """Ranked answers.

    Attributes:
        items: [n, k] item index, best first; 0 fills up when there is nothing more to recommend.
        scores: [n, k] higher is better; comparable within a request.
        slots: [n, k] index into SLOTS: why the item is there.
    """

    items: Ints
    scores: Floats
    slots: npt.NDArray[np.int8]


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

    def recommend(self, requests: Requests, k: int, *, explore_slots: int = 0) -> Recommendations:
        """Return the best `k` items per request, without those in its cart.

        The first `k - explore_slots` come from what the user bought before, the rest from what
        they did not; each fills up from the other, then from what is popular.
        `k` may exceed the catalogue.

        Raises:
            RequestError: k < 1, or explore_slots not in 0..k.
        """
        ...

    def explore(self, requests: Requests, k: int) -> Recommendations:
        """Return the best `k` items that the user never bought."""
        ...

    def save(self, path: Path) -> None:
        """Write the graph and its vocabulary to a new folder.

        `path/saved_model/` is the TensorFlow SavedModel, `path/model.json` says what it is
        (name, family, settings, cut-off, epochs), `path/vocabulary.txt` has one item id per line.
        """
        ...


def load_recommender(path: Path) -> Recommender:
    """Return what `Recommender.save` wrote.

    Raises:
        BundleError: A file is missing or damaged, or the vocabulary does not match the graph.
    """
    raise NotImplementedError


def build_shop(  # noqa: PLR0913
    *,
    cutoff: pd.Timestamp,
    events: pd.DataFrame,
    items: pd.DataFrame,
    users: pd.DataFrame,
    offers: pd.DataFrame,
    examples: pd.DataFrame,
) -> Shop:
    """Return what may be known at `cutoff`; later events and examples are left out.

    Examples whose label window does not close before the cut-off are left out of `train`.
    """
    raise NotImplementedError


def fit_candidates(
    shop: Shop, params: TrainingParams, *, shop_params: ShopParams, run: "Run"
) -> dict[str, Recommender]:
    """Return every candidate by name, fitted on `shop.train` and chosen on `shop.validation`."""
    raise NotImplementedError


def refit(
    name: str,
    shop: Shop,
    params: TrainingParams,
    *,
    shop_params: ShopParams,
    settings: dict[str, Any],
) -> Recommender:
    """Return the candidate `name` fitted again on all of `shop`.

    Args:
        name: Which candidate.
        shop: Everything before `as_of`; `validation` is empty.
        params: The same as in the first fit.
        shop_params: The shop's.
        settings: `model.json` of the first fit; its `epochs` is how long to train.
    """
    raise NotImplementedError

"""The interface of a family: fit on training data, and move fitted weights to another cut-off.

Families are interchangeable: each yields a `RankingGraph`, which the same code tests, deploys and
serves. `pipeline.recommenders.registry` looks up a family by its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.contracts.params import FamiliesParams
from pipeline.recommenders.base.graph import RankingGraph
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.fitting.fit import Fitted


@dataclass(frozen=True)
class FittedFamily:
    """A fitted family with the records of its fits.

    Attributes:
        graph: Graph with item state at `data.cutoff`.
        fits: Record of each separately fitted part, by name; the first is the main part.
    """

    graph: RankingGraph
    fits: dict[str, Fitted]


class Family(Protocol):
    """A recommender with learned parameters."""

    def fit(
        self,
        data: TrainingData,
        params: FamiliesParams,
        *,
        seed: int,
        epochs: Mapping[str, int] | None = None,
    ) -> FittedFamily:
        """Return the family fitted on `data.train`, or on the purchases before it.

        Args:
            data: Training data. `data.validation` serves early stopping only.
            params: Parameters of all families.
            seed: Seed of all random choices.
            epochs: Number of epochs of each part without validation.

        Raises:
            TrainingError: The loss is not finite.
        """
        ...

    def at(
        self, cutoff: float, graph: RankingGraph, data: TrainingData, params: FamiliesParams
    ) -> RankingGraph:
        """Return the same weights with the item state and the catalogue of another cut-off."""
        ...


def validation_start(data: TrainingData) -> float:
    """Return the start of the validation window in seconds, or `data.cutoff` without one.

    A family may only learn from what is older.
    """
    if data.validation.empty:
        return data.cutoff
    return float(data.validation["cutoff"].min().timestamp())

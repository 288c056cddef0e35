"""What every family can do: learn from a shop, and stand at another cut-off with the same weights.

Families are interchangeable: each yields a `RankingGraph`, so whatever is best can be tested,
deployed and served by the same code. `pipeline.recommenders.registry` finds one by its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.contracts.params import FamiliesParams
from pipeline.recommenders.base.graph import RankingGraph
from pipeline.recommenders.base.shop import TrainingData
from pipeline.recommenders.fitting.fit import Fitted


@dataclass(frozen=True)
class FittedFamily:
    """A fitted family and how it got there.

    Attributes:
        graph: With item state as of `shop.cutoff`.
        fits: How each part that is fitted on its own went, by name; the first is the main one.
    """

    graph: RankingGraph
    fits: dict[str, Fitted]


class Family(Protocol):
    """One way to recommend that learns."""

    def fit(
        self,
        shop: TrainingData,
        params: FamiliesParams,
        *,
        seed: int,
        epochs: Mapping[str, int] | None = None,
    ) -> FittedFamily:
        """Return the family fitted on `shop.train`, or on the purchases before it.

        Args:
            shop: What may be known. `shop.validation` is for early stopping; nothing of its
                window is learned from.
            params: Of all families.
            seed: For everything random.
            epochs: How long to train each part, when there is no validation.

        Raises:
            TrainingError: The loss is not finite.
        """
        ...

    def at(
        self, cutoff: float, graph: RankingGraph, shop: TrainingData, params: FamiliesParams
    ) -> RankingGraph:
        """Return the same weights with the item state and the catalogue of another cut-off."""
        ...


def validation_opens(shop: TrainingData) -> float:
    """Return when the validation window opens, in seconds; `shop.cutoff` where there is none.

    What is learned must be older than this.
    """
    if shop.validation.empty:
        return shop.cutoff
    return float(shop.validation["cutoff"].min().timestamp())

"""The temporal ranker as a family: own items by the network, other items by the explore head."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.contracts.params import FamiliesParams
from pipeline.recommenders.base.graph import RankingGraph
from pipeline.recommenders.base.shop import TrainingData
from pipeline.recommenders.fitting.family import FittedFamily, validation_opens
from pipeline.recommenders.fitting.fit import set_seed
from pipeline.recommenders.ranker.examples import (
    Labels,
    RepeatPairs,
    extractor,
    joined,
    repeat_pairs,
)
from pipeline.recommenders.ranker.explore_fit import fit_explore
from pipeline.recommenders.ranker.graph import RankerGraph, code_counts, state_at, tables_of
from pipeline.recommenders.ranker.probe import probe_own
from pipeline.recommenders.ranker.repeat_fit import RepeatValidation, fit_repeat_ranker

log = logging.getLogger("evergreen")


@dataclass(frozen=True)
class RankerFamily:
    """The temporal ranker with one of the history encoders."""

    encoder: str

    def fit(
        self,
        shop: TrainingData,
        params: FamiliesParams,
        *,
        seed: int,
        epochs: Mapping[str, int] | None = None,
    ) -> FittedFamily:
        """Return the ranker fitted on `shop.train`, with item state as of `shop.cutoff`."""
        set_seed(seed)
        opens, length = validation_opens(shop), epochs or {}
        tables = tables_of(shop, opens, params.popular_days)
        graph = RankerGraph(tables, params.ranker, code_counts(shop), seed)
        train = training_pairs(shop, graph, params)
        validation = None if epochs else RepeatValidation.of(graph, shop, params.ranker)
        own = fit_repeat_ranker(
            graph,
            train,
            validation,
            params.ranker,
            encoder=self.encoder,
            seed=seed,
            epochs=length.get("network"),
        )
        explore = fit_explore(graph, shop, params, seed=seed, epochs=length.get("explore"))
        if validation is not None:
            user = users_of(shop)
            own.probe = probe_own(
                graph,
                train,
                user,
                validation,
                params.ranker,
                encoder=self.encoder,
                seed=seed,
            )
        fits = {"network": own, "explore": explore}
        if opens == shop.cutoff:
            return FittedFamily(graph, fits)
        return FittedFamily(self.at(shop.cutoff, graph, shop, params), fits)

    def at(
        self, cutoff: float, graph: RankingGraph, shop: TrainingData, params: FamiliesParams
    ) -> RankingGraph:
        """Return the same weights over the item state and the catalogue of another cut-off."""
        assert isinstance(graph, RankerGraph)
        tables = tables_of(shop, cutoff, params.popular_days)
        fresh = RankerGraph(tables, params.ranker, code_counts(shop), seed=0)
        fresh.network = graph.network
        for name, variable in graph.explore.learned().items():
            fresh.explore.learned()[name].assign(variable)
        return fresh


def users_of(shop: TrainingData) -> np.ndarray[Any, Any]:
    """Return the user code of each training example, in the order of `training_pairs`."""
    names = np.concatenate(
        [asked.examples["user_id"].to_numpy(dtype=object) for _, asked in shop.windows]
    )
    return np.unique(names, return_inverse=True)[1]


def training_pairs(shop: TrainingData, graph: RankerGraph, params: FamiliesParams) -> RepeatPairs:
    """Return the pairs of all training examples, each with item state as of its own cut-off."""
    return joined([*window_pairs(shop, graph, params, params.ranker.maximum_candidates)])


def window_pairs(
    shop: TrainingData, graph: RankerGraph, params: FamiliesParams, limit: int | None
) -> Iterator[RepeatPairs]:
    """Yield the pairs of the training examples of each cut-off, the earliest first.

    Args:
        shop: What may be known.
        graph: Computes the features; its item state is as it was once all are taken.
        params: Of the families.
        limit: The strongest of each example are kept, so many; None for all.
    """
    extract = extractor(graph, params.ranker.n_ages)
    frozen = graph.features.state.numpy()
    for cutoff, asked in shop.windows:
        graph.features.state.assign(state_at(cutoff, shop, params.popular_days))
        pairs = repeat_pairs(asked.requests, Labels.of(asked.examples, shop), extract, limit)
        day = pd.Timestamp(cutoff, unit="s")
        log.info("features as of %s: %d pairs", f"{day:%Y-%m-%d}", len(pairs.item))
        yield pairs
    graph.features.state.assign(frozen)

"""The temporal ranker as a family: a network for repeat candidates and the explore head."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.contracts.params import FamiliesParams
from pipeline.recommenders.base.graph import RankingGraph
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.fitting.family import FittedFamily, validation_start
from pipeline.recommenders.fitting.fit import set_seed
from pipeline.recommenders.ranker.examples import (
    Labels,
    RepeatPairs,
    build_extractor,
    build_repeat_pairs,
    join_pairs,
)
from pipeline.recommenders.ranker.explore_fit import fit_explore
from pipeline.recommenders.ranker.graph import (
    RankerGraph,
    build_item_tables,
    code_counts,
    item_state_at,
)
from pipeline.recommenders.ranker.probe import probe_repeat_ranker
from pipeline.recommenders.ranker.repeat_fit import RepeatValidation, fit_repeat_ranker

log = logging.getLogger("evergreen")


@dataclass(frozen=True)
class RankerFamily:
    """The temporal ranker with one of the history encoders."""

    encoder: str

    def fit(
        self,
        data: TrainingData,
        params: FamiliesParams,
        *,
        seed: int,
        epochs: Mapping[str, int] | None = None,
    ) -> FittedFamily:
        """Return the ranker fitted on `data.train`, with item state at `data.cutoff`."""
        set_seed(seed)
        opens, length = validation_start(data), epochs or {}
        tables = build_item_tables(data, opens, params.popular_days)
        graph = RankerGraph(tables, params.ranker, code_counts(data), seed)
        train = build_training_pairs(data, graph, params)
        validation = None if epochs else RepeatValidation.of(graph, data, params.ranker)
        repeat = fit_repeat_ranker(
            graph,
            train,
            validation,
            params.ranker,
            encoder=self.encoder,
            seed=seed,
            epochs=length.get("network"),
        )
        explore = fit_explore(graph, data, params, seed=seed, epochs=length.get("explore"))
        if validation is not None:
            user = encode_users(data)
            repeat.probe = probe_repeat_ranker(
                graph,
                train,
                user,
                validation,
                params.ranker,
                encoder=self.encoder,
                seed=seed,
            )
        fits = {"network": repeat, "explore": explore}
        if opens == data.cutoff:
            return FittedFamily(graph, fits)
        return FittedFamily(self.at(data.cutoff, graph, data, params), fits)

    def at(
        self, cutoff: float, graph: RankingGraph, data: TrainingData, params: FamiliesParams
    ) -> RankingGraph:
        """Return the same weights with the item state and the catalogue of another cut-off."""
        assert isinstance(graph, RankerGraph)
        tables = build_item_tables(data, cutoff, params.popular_days)
        fresh = RankerGraph(tables, params.ranker, code_counts(data), seed=0)
        fresh.network = graph.network
        for name, variable in graph.explore.learned().items():
            fresh.explore.learned()[name].assign(variable)
        return fresh


def encode_users(data: TrainingData) -> np.ndarray[Any, Any]:
    """Return the user code of each training example, in the order of `build_training_pairs`."""
    names = np.concatenate(
        [window.examples["user_id"].to_numpy(dtype=object) for _, window in data.windows]
    )
    return np.unique(names, return_inverse=True)[1]


def build_training_pairs(
    data: TrainingData, graph: RankerGraph, params: FamiliesParams
) -> RepeatPairs:
    """Return the pairs of all training examples, each with item state at its cut-off."""
    return join_pairs([*build_window_pairs(data, graph, params, params.ranker.maximum_candidates)])


def build_window_pairs(
    data: TrainingData, graph: RankerGraph, params: FamiliesParams, limit: int | None
) -> Iterator[RepeatPairs]:
    """Yield the pairs of the training examples of each cut-off, the earliest first.

    Args:
        data: Training data.
        graph: Graph that computes the features; its item state is restored at the end.
        params: Parameters of the families.
        limit: Strongest candidates to keep per example; None for all.
    """
    extract = build_extractor(graph, params.ranker.n_ages)
    frozen = graph.features.state.numpy()
    for cutoff, window in data.windows:
        graph.features.state.assign(item_state_at(cutoff, data, params.popular_days))
        pairs = build_repeat_pairs(
            window.requests, Labels.of(window.examples, data), extract, limit
        )
        day = pd.Timestamp(cutoff, unit="s")
        log.info("features as of %s: %d pairs", f"{day:%Y-%m-%d}", len(pairs.item))
        yield pairs
    graph.features.state.assign(frozen)

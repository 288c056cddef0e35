"""Other ways to answer production's requests, loaded in this process.

They are the champion without its service, and the live frequency baselines.
"""

from datetime import datetime
from pathlib import Path

from pipeline.contracts.params import BaselineParams
from pipeline.monitoring.observe import MonitoringInputs
from pipeline.recommenders.base.recommender import Recommender

SERVED, CHAMPION, DECAYED, CONTEXTUAL = "served", "champion", "decayed", "contextual"
TESTED = "tested "  # prefix of a baseline as it was at the start of the test window


def read_methods(
    champion: Path, inputs: MonitoringInputs, baselines: BaselineParams
) -> dict[str, Recommender]:
    """Return the champion and the live frequency baselines, loaded in this process.

    A name with the prefix TESTED is the baseline of the test window.

    Args:
        champion: Folder of the verified bundle.
        inputs: Histories and vocabulary.
        baselines: Settings of the baselines, as in training.
    """
    from pipeline.recommenders.onnx.graph import load_onnx

    return {CHAMPION: load_onnx(champion), **read_baselines(inputs, baselines)}


def read_baselines(inputs: MonitoringInputs, baselines: BaselineParams) -> dict[str, Recommender]:
    """Return the live frequency baselines, of production and of the test window.

    Args:
        inputs: Histories and vocabulary.
        baselines: Settings of the baselines, as in training.
    """
    windows = inputs.params.shop.windows()
    tested = _build_baselines(inputs, baselines, windows.test_start)
    return _build_baselines(inputs, baselines, windows.as_of) | {
        f"{TESTED}{name}": method for name, method in tested.items()
    }


def _build_baselines(
    inputs: MonitoringInputs, baselines: BaselineParams, moment: datetime
) -> dict[str, Recommender]:
    """Return the frequency baselines, whose popularity is that of `moment`."""
    from pipeline.recommenders.base.items import compute_item_state
    from pipeline.recommenders.base.saved import GraphRecommender
    from pipeline.recommenders.baselines.frequency import (
        EXPLORE_CATALOGUE,
        ContextualGraph,
        DecayGraph,
    )

    popularity = compute_item_state(
        inputs.histories,
        len(inputs.vocabulary),
        moment.timestamp(),
        popular_days=baselines.popular_days,
    ).popularity
    graphs = {
        DECAYED: DecayGraph(popularity, EXPLORE_CATALOGUE, baselines.decay_days),
        CONTEXTUAL: ContextualGraph(popularity, EXPLORE_CATALOGUE, baselines),
    }
    return {
        name: GraphRecommender({"name": name}, inputs.vocabulary, graph)
        for name, graph in graphs.items()
    }

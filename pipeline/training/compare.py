"""The fitted families beside each other and beside the baselines; the best goes on to testing."""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.atomic import whole_folder
from pipeline.contracts.params import BaselineParams, TrainingParams
from pipeline.recommenders.base.shop import TrainingData
from pipeline.recommenders.names import BASELINES
from pipeline.training.fit.candidates import baselines_on_validation, build_counting

CHOSEN_BY = "ndcg@10"


def read_fits(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what the fit of each family said.

    Raises:
        ArtefactError: One of them was not fitted.
    """
    return {name: artefacts.read_json(artefacts.family_metrics(name)) for name in names}


def best_of(fits: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the family that is best on validation; the first of equals."""
    return max(fits, key=lambda name: fits[name]["validation"][CHOSEN_BY])


def metrics(
    fits: Mapping[str, Mapping[str, Any]], shop: TrainingData, params: TrainingParams
) -> dict[str, Any]:
    """Return what goes into reports/training/metrics.json: the chosen family and all numbers.

    Args:
        fits: From `read_fits`.
        shop: With its validation examples.
        params: Of the training stage.
    """
    chosen = best_of(fits)
    families = {name: dict(fit["validation"]) for name, fit in fits.items()}
    return {
        "family": chosen,
        **{name: value for name, value in fits[chosen].items() if name != "validation"},
        "validation": families | baselines_on_validation(shop, params.baselines),
    }


def curves(names: Sequence[str]) -> pd.DataFrame:
    """Return the learning curves of all families: family, part, epoch, loss, validation."""
    frames = []
    for name in names:
        frame = pd.read_csv(artefacts.family_curve(name).existing())
        frame.insert(0, "family", name)
        frames.append(frame)
    return pd.concat(frames)


def write_candidates(family: str, shop: TrainingData, params: BaselineParams) -> None:
    """Write the chosen family and every baseline to models/candidates."""
    with whole_folder(artefacts.CANDIDATES.path) as folder:
        shutil.copytree(artefacts.family(family).existing(), folder / family)
        for name in BASELINES:
            build_counting(name, shop, params).save(folder / name)

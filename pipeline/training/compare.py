"""Compare the fitted families and the baselines; the best family goes on to testing."""

import shutil
from collections.abc import Mapping, Sequence

import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.atomic import whole_folder
from pipeline.contracts.family_metrics import FamilyMetrics, TrainingReport
from pipeline.contracts.params import BaselineParams, TrainingParams
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.names import BASELINES
from pipeline.training.fit.candidates import build_baseline_recommender, measure_baselines

CHOSEN_BY = "ndcg@10"


def read_fits(names: Sequence[str]) -> dict[str, FamilyMetrics]:
    """Read the metrics of each family's fit.

    Raises:
        ArtefactError: A family is not fitted.
    """
    return {
        name: artefacts.read_record(FamilyMetrics, artefacts.family_metrics(name)) for name in names
    }


def choose_family(fits: Mapping[str, FamilyMetrics]) -> str:
    """Return the best family on validation; the first one wins a tie."""
    return max(fits, key=lambda name: fits[name].validation[CHOSEN_BY])


def build_report(
    fits: Mapping[str, FamilyMetrics], data: TrainingData, params: TrainingParams
) -> TrainingReport:
    """Return the fit of the best family, and the quality of every candidate.

    Args:
        fits: From `read_fits`.
        data: Training data with validation examples.
        params: Parameters of the training stage.
    """
    chosen = choose_family(fits)
    best, families = fits[chosen], {name: fit.validation for name, fit in fits.items()}
    return TrainingReport(
        family=chosen,
        n_examples=best.n_examples,
        epochs=best.epochs,
        loss=best.loss,
        stopped_by=best.stopped_by,
        probe=best.probe,
        validation=families | measure_baselines(data, params.baselines),
    )


def read_curves(names: Sequence[str]) -> pd.DataFrame:
    """Read the learning curves of all families: family, part, epoch, loss, validation."""
    frames = []
    for name in names:
        frame = pd.read_csv(artefacts.family_curve(name).existing())
        frame.insert(0, "family", name)
        frames.append(frame)
    return pd.concat(frames)


def write_candidates(family: str, data: TrainingData, params: BaselineParams) -> None:
    """Write the chosen family and every baseline to models/candidates."""
    with whole_folder(artefacts.CANDIDATES.path) as folder:
        shutil.copytree(artefacts.family(family).existing(), folder / family)
        for name in BASELINES:
            build_baseline_recommender(name, data, params).save(folder / name)

"""Refit: fit the champion again on all data before as_of.

Reads:  data/clean; data/labelled/examples.parquet; models/candidates/<name>/model.json;
        reports/testing/metrics.json (name of the champion)
Writes: models/challenger/{saved_model,graph.onnx,model.json,vocabulary.json}
        models/checkpoints/ while it runs: after an interruption the next run resumes
"""

from dataclasses import replace

import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.atomic import whole_folder
from pipeline.contracts.params import Params
from pipeline.contracts.testing_report import TestReport
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.fitting.threads import configure_threads
from pipeline.runtime.stage import exit_with, step
from pipeline.runtime.tracking import Run

SPLITS = ("train", "validation", "test")


@step("deployment", "training.refit", after="testing")
def main(params: Params, run: Run) -> None:
    """Refit the champion, export it, and save it."""
    name = artefacts.read_record(TestReport, artefacts.TEST_METRICS).champion
    configure_threads(name)
    from pipeline.recommenders.base.saved import read_description
    from pipeline.recommenders.base.tables import read_training_data
    from pipeline.recommenders.fitting.fit import clear_checkpoints
    from pipeline.recommenders.onnx.graph import GRAPH, export_onnx
    from pipeline.training.fit.candidates import refit

    as_of = params.shop.windows().as_of
    data = thin_examples(read_training_data(params.shop, as_of, learn_from=SPLITS, validate=False))
    tested = read_description(artefacts.CANDIDATES.existing() / name)
    recommender = refit(
        tested, data, params.families, params.training.baselines, seed=params.shop.seed
    )
    with whole_folder(artefacts.CHALLENGER.path) as folder:
        recommender.save(folder)
        export_onnx(recommender.module, folder / GRAPH)
    clear_checkpoints()
    run.log_params({"refit": {"candidate": name, "examples": len(data.train)}})


def thin_examples(data: TrainingData) -> TrainingData:
    """Return the data with at most as many examples per user and window as in training.

    The validation and the test window hold every basket and would otherwise outweigh the past.
    """
    examples = data.train
    keys = ["user_id", "cutoff", "protocol"]
    sizes = examples[examples["split"] == "train"].groupby(keys).size()
    order = pd.util.hash_pandas_object(examples["example_id"], index=False).argsort()
    chosen = examples.iloc[order].groupby(keys).head(int(sizes.max())).index
    thinned = examples.loc[sorted(chosen)].reset_index(drop=True)
    return replace(data, train=thinned)


if __name__ == "__main__":
    exit_with(main)

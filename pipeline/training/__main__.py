"""Training: the fitted families are compared on validation, the counting baselines are added.

Reads:  data/clean/{events,items.parquet,users.parquet,offers}; data/labelled/examples.parquet;
        models/families; reports/training/families
Writes: models/candidates/<name>/{saved_model,model.json,vocabulary.json};
        reports/training/{metrics.json,curves.csv,index.html,verdict.json}
"""

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params
from pipeline.contracts.verdicts import Verdict
from pipeline.runtime.stage import exit_with, stage
from pipeline.runtime.tracking import Run


@stage("training", after="labeling")
def main(params: Params, run: Run) -> Verdict:
    """Compare, choose, report."""
    from pipeline.recommenders.base.tables import read_training_data
    from pipeline.training import compare, report

    shop = read_training_data(params.shop, params.shop.windows().test_start, learn_from=("train",))
    run.log_dataset(
        "train", shop.train.drop(columns=["labels", "cart", "relevance"]), "data/labelled"
    )
    fits = compare.read_fits(params.training.families)
    found = compare.metrics(fits, shop, params.training)
    compare.write_candidates(found["family"], shop, params.training.baselines)
    curve = compare.curves(params.training.families)
    conclusion = report.verdict(found, params.families)
    artefacts.write_json(found, artefacts.TRAINING_METRICS.path)
    artefacts.write_text(curve.to_csv(index=False), artefacts.CURVES.path)
    report.page(found, curve, conclusion).write(artefacts.page("training").path)
    run.log_metrics(found)
    return conclusion


if __name__ == "__main__":
    exit_with(main)

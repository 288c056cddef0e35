"""Training: compare the fitted families and the frequency baselines on validation.

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
    """Compare the families, choose one, and report."""
    from pipeline.recommenders.base.tables import read_training_data
    from pipeline.training import compare, report

    data = read_training_data(params.shop, params.shop.windows().test_start, learn_from=("train",))
    run.log_dataset(
        "train", data.train.drop(columns=["labels", "cart", "relevance"]), "data/labelled"
    )
    fits = compare.read_fits(params.training.families)
    compared = compare.build_report(fits, data, params.training)
    compare.write_candidates(compared.family, data, params.training.baselines)
    curve = compare.read_curves(params.training.families)
    conclusion = report.build_verdict(compared, params.families)
    artefacts.write_record(compared, artefacts.TRAINING_METRICS)
    artefacts.write_text(curve.to_csv(index=False), artefacts.CURVES.path)
    report.build_page(compared, curve, conclusion).write(artefacts.page("training").path)
    run.log_metrics(compared.model_dump())
    return conclusion


if __name__ == "__main__":
    exit_with(main)

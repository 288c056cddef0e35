"""Training: the Keras ranker and the classical baselines are fitted on labelled examples.

Reads:  data/clean/{events,items.parquet,users.parquet,offers}; data/labelled/examples.parquet
Writes: models/candidates/<name>/{saved_model,model.json,vocabulary.txt};
        reports/training/{metrics.json,curves.csv,index.html,verdict.json}
        models/checkpoints/ while it runs: after an interruption the next run resumes
"""

import sys

from pipeline import artefacts
from pipeline.params import Params
from pipeline.stage import stage
from pipeline.tracking import Run
from pipeline.verdicts import Verdict


@stage("training")
def main(params: Params, run: Run) -> Verdict:
    """Fit, save, report."""
    from pipeline.training import report
    from pipeline.training.candidates import RANKER, fit_candidates, validation_quality
    from pipeline.training.fit import clear_checkpoints
    from pipeline.training.tables import read_shop

    shop = read_shop(params.shop, params.shop.windows().test_start, learn_from=("train",))
    run.log_dataset(
        "train", shop.train.drop(columns=["labels", "cart", "relevance"]), "data/labelled"
    )
    fitted = fit_candidates(shop, params.training, params.shop)
    with artefacts.whole_folder(artefacts.CANDIDATES.path) as folder:
        for name, recommender in fitted.recommenders.items():
            recommender.save(folder / name)
    clear_checkpoints()
    validation = validation_quality(shop, params.training, fitted.recommenders[RANKER])
    found = report.metrics(fitted.own, fitted.explore, validation, len(shop.train))
    curve = report.curves(fitted.own, fitted.explore)
    conclusion = report.verdict(found, fitted.own, params.training)
    artefacts.write_json(found, artefacts.TRAINING_METRICS.path)
    artefacts.write_text(curve.to_csv(index=False), artefacts.CURVES.path)
    report.page(found, curve, conclusion).write(artefacts.page("training").path)
    run.log_metrics(found)
    for row in curve.to_dict("records"):
        values = {f"{row['part']}.{name}": row[name] for name in ("loss", "validation")}
        run.log_metrics(values, step=int(row["epoch"]))
    return conclusion


if __name__ == "__main__":
    sys.exit(main())

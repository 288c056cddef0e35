"""Fit: fit one family of deep recommenders on labelled examples.

Reads:  data/clean/{events,items.parquet,users.parquet,offers}; data/labelled/examples.parquet
Writes: models/families/<name>/{saved_model,model.json,vocabulary.json};
        reports/training/families/<name>/{metrics.json,curve.csv}
        models/checkpoints/ while it runs: after an interruption the next run resumes
"""

from pipeline.contracts import artefacts
from pipeline.contracts.atomic import whole_folder
from pipeline.contracts.params import Params
from pipeline.recommenders.fitting.threads import configure_threads
from pipeline.runtime.stage import exit_with, part
from pipeline.runtime.tracking import Run


@part("training", "training.fit", stages="families", after="labeling")
def main(name: str, params: Params, run: Run) -> None:
    """Fit a family, save it, and report."""
    configure_threads(name)
    from pipeline.recommenders.base.tables import read_training_data
    from pipeline.recommenders.fitting.fit import clear_checkpoints
    from pipeline.training.fit import report
    from pipeline.training.fit.candidates import fit_family, measure_on_validation

    data = read_training_data(params.shop, params.shop.windows().test_start, learn_from=("train",))
    fitted, recommender = fit_family(name, data, params.families, seed=params.shop.seed)
    with whole_folder(artefacts.family(name).path) as folder:
        recommender.save(folder)
    clear_checkpoints()
    validation = measure_on_validation(name, recommender, data, params.families)
    metrics = report.build_metrics(fitted.fits, validation, len(data.train))
    curve = report.build_curve(fitted.fits)
    artefacts.write_record(metrics, artefacts.family_metrics(name))
    artefacts.write_text(curve.to_csv(index=False), artefacts.family_curve(name).path)
    run.log_metrics(metrics.model_dump())
    for row in curve.to_dict("records"):
        values = {f"{row['part']}.{key}": row[key] for key in ("loss", "validation")}
        run.log_metrics(values, step=int(row["epoch"]))


if __name__ == "__main__":
    exit_with(main)

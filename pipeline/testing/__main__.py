"""Testing: every candidate on unseen weeks; the best one becomes the champion-to-be.

Reads:  data/clean; data/labelled/examples.parquet; models/candidates; reports/planning/plan.json;
        reports/training
Writes: reports/testing/{metrics.json,comparison.csv,reference.json,suspicious_labels.csv,
        model_card.md,index.html,verdict.json}
"""

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params
from pipeline.contracts.verdicts import Verdict
from pipeline.runtime.stage import exit_with, stage
from pipeline.runtime.tracking import Run


@stage("testing", after="training")
def main(params: Params, run: Run) -> Verdict:
    """Measure, choose, report."""
    from pipeline.contracts.plan import read_plan
    from pipeline.testing import report
    from pipeline.testing.diagnosis import page
    from pipeline.testing.evaluate import comparison
    from pipeline.testing.protocols import TITLES
    from pipeline.testing.trial import Evaluation

    plan = read_plan()
    trial = Evaluation.run(params, plan)
    metrics, conclusion = trial.metrics, trial.verdict
    artefacts.write_json(metrics, artefacts.TEST_METRICS.path)
    artefacts.write_json(trial.reference, artefacts.REFERENCE.path)
    artefacts.write_text(comparison(metrics).to_csv(index=False), artefacts.TEST_COMPARISON.path)
    artefacts.write_text(report.model_card(metrics, trial.slices, plan), artefacts.MODEL_CARD.path)
    suspicious = trial.examination.suspicious.to_csv(index=False)
    artefacts.write_text(suspicious, artefacts.SUSPICIOUS_LABELS.path)
    made = report.page(metrics, trial.slices, conclusion, plan)
    page.add(made, trial.examination)
    made.write(artefacts.page("testing").path)
    run.log_metrics({name: metrics[name] for name in (*TITLES, "served")})
    run.log_cycle_metrics(
        {name: metrics["rolling"][name] for name in ("recall@10", "ndcg@10", "hit_rate@10")}
    )
    return conclusion


if __name__ == "__main__":
    exit_with(main)

"""Testing: evaluate every candidate on unseen weeks and choose the champion.

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
    """Evaluate the candidates, choose the champion, and report."""
    from pipeline.contracts.plan import read_plan
    from pipeline.testing import report
    from pipeline.testing.comparison import build_comparison
    from pipeline.testing.diagnosis import page
    from pipeline.testing.evaluation import Evaluation
    from pipeline.testing.protocols import TITLES

    plan = read_plan()
    evaluation = Evaluation.run(params, plan)
    tested, conclusion = evaluation.report, evaluation.verdict
    artefacts.write_record(tested, artefacts.TEST_METRICS)
    artefacts.write_record(evaluation.reference, artefacts.REFERENCE)
    artefacts.write_text(
        build_comparison(tested).to_csv(index=False), artefacts.TEST_COMPARISON.path
    )
    artefacts.write_text(
        report.build_model_card(tested, evaluation.slices, plan), artefacts.MODEL_CARD.path
    )
    suspicious = evaluation.examination.suspicious.to_csv(index=False)
    artefacts.write_text(suspicious, artefacts.SUSPICIOUS_LABELS.path)
    testing_page = report.build_page(tested, evaluation.slices, conclusion, plan)
    page.add_diagnosis(testing_page, evaluation.examination)
    testing_page.write(artefacts.page("testing").path)
    run.log_metrics(tested.model_dump(include={*TITLES, "served"}))
    run.log_cycle_metrics(
        {name: tested.rolling.mean(name) for name in ("recall@10", "ndcg@10", "hit_rate@10")}
    )
    return conclusion


if __name__ == "__main__":
    exit_with(main)

"""Monitoring: production is replayed through the deployed model; what moved is traced to its phase.

Reads:  data/labelled/examples.parquet; data/clean; models/champion; reports/testing/reference.json;
        reports/planning/plan.json
Writes: reports/monitoring/{metrics.json,weeks.csv,index.html,verdict.json};
        reports/monitoring/latency.json, of this machine
"""

from pathlib import Path

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params
from pipeline.contracts.verdicts import Verdict
from pipeline.runtime.stage import exit_with, stage
from pipeline.runtime.tracking import Run

LATENCY = Path("reports/monitoring/latency.json")


@stage("monitoring", after="deployment")
def main(params: Params, run: Run) -> Verdict:
    """Replay, observe, decide, report."""
    from pipeline.monitoring import report
    from pipeline.monitoring.watch import read_known, watch

    known = read_known(params)
    found = watch(known)
    artefacts.write_json(found.metrics, artefacts.MONITORING_METRICS.path)
    artefacts.write_text(found.weeks.to_csv(index=False), artefacts.MONITORING_WEEKS.path)
    artefacts.write_json(found.latency, LATENCY)
    report.page(found, known).write(artefacts.page("monitoring").path)
    run.log_metrics(found.metrics | {"latency": found.latency})
    return found.verdict


if __name__ == "__main__":
    exit_with(main)

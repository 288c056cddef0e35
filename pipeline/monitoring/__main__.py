"""Monitoring: replays production through the deployed model, and traces alarms to a phase.

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
    """Replay, observe, decide and report."""
    from pipeline.monitoring import report
    from pipeline.monitoring.monitor import monitor, read_inputs

    inputs = read_inputs(params)
    result = monitor(inputs)
    artefacts.write_json(result.metrics, artefacts.MONITORING_METRICS.path)
    artefacts.write_text(result.weeks.to_csv(index=False), artefacts.MONITORING_WEEKS.path)
    artefacts.write_json(result.latency, LATENCY)
    report.build_page(result, inputs).write(artefacts.page("monitoring").path)
    run.log_metrics(result.metrics | {"latency": result.latency})
    return result.verdict


if __name__ == "__main__":
    exit_with(main)

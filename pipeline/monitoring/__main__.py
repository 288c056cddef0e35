"""Monitoring: judges production by what its event store recorded, and traces alarms to a phase.

The stage replays the weeks after as_of through a private service. `--source event_store` judges
the store of a running service instead, and writes the same files to --out.

Reads:  data/labelled/examples.parquet; data/clean; models/champion; reports/testing/reference.json;
        reports/planning/plan.json; with `monitoring.source: event_store` the event store
Writes: reports/monitoring/{metrics.json,weeks.csv,index.html,verdict.json};
        reports/monitoring/latency.json, of this machine
"""

from pathlib import Path

from pipeline.contracts.params import Params
from pipeline.contracts.verdicts import Verdict
from pipeline.monitoring.command import OPTIONS
from pipeline.runtime.stage import exit_with, stage
from pipeline.runtime.tracking import Run

REPORTS = Path("reports/monitoring")


@stage("monitoring", after="deployment", options=OPTIONS)
def main(params: Params, run: Run) -> Verdict:
    """Replay, observe, decide and report."""
    from pipeline.monitoring.monitor import monitor, read_inputs
    from pipeline.monitoring.report import write_results

    inputs = read_inputs(params)
    result = monitor(inputs)
    write_results(result, inputs, REPORTS)
    run.log_metrics(result.metrics | {"latency": result.latency})
    return result.verdict


if __name__ == "__main__":
    exit_with(main)

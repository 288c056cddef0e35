"""Planning: whether the project is worth its cost, its target, and what a cycle costs.

Reads:  the files or the installed package of collection.source, up to the test window;
        data/corrections, the id maps of declared corrections
Writes: reports/planning/{plan.json,index.html,verdict.json}; the machine's inventory and speed,
        which are not outputs, in reports/planning/latency.json
"""

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params
from pipeline.contracts.verdicts import Verdict
from pipeline.runtime.stage import exit_with, stage
from pipeline.runtime.tracking import Run


@stage("planning", after=None)
def main(params: Params, run: Run) -> Verdict:
    """Plan, judge and report."""
    from pipeline.planning.machine import INVENTORY_PATH, calibrate, measure_machine, warn_if_small
    from pipeline.planning.page import build_page
    from pipeline.planning.planning import build_plan
    from pipeline.planning.probe import measure_slowness
    from pipeline.planning.viability import build_verdict
    from pipeline.sources import open_source

    machine = measure_machine()
    plan = build_plan(open_source(params.collection, params.shop), params)
    machine = calibrate(machine, plan, measure_slowness(machine.cores))
    conclusion = build_verdict(plan, params.planning, machine.slowness)
    artefacts.write_record(plan, artefacts.PLAN)
    build_page(plan, conclusion).write(artefacts.page("planning").path)
    artefacts.write_json(machine.model_dump(), INVENTORY_PATH)
    warn_if_small(machine, plan)
    run.log_metrics({"machine": machine.model_dump(), "target": plan.target.model_dump()})
    return conclusion


if __name__ == "__main__":
    exit_with(main)

"""Planning: is it worth it, what is the goal, and what will it cost?

Reads:  what collection.source names (files, or the installed Complete Journey package), up to
        the test window
Writes: reports/planning/{plan.json,index.html,verdict.json}; the machine's inventory and speed,
        which are no result, in reports/planning/latency.json
"""

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params
from pipeline.contracts.verdicts import Verdict
from pipeline.runtime.stage import exit_with, stage
from pipeline.runtime.tracking import Run


@stage("planning", after=None)
def main(params: Params, run: Run) -> Verdict:
    """Plan, judge, and tell a manager."""
    from pipeline.planning.machine import INVENTORY_PATH, calibrated, inventory, warn_if_small
    from pipeline.planning.page import page
    from pipeline.planning.planning import make_plan
    from pipeline.planning.probe import slowness
    from pipeline.planning.viability import verdict
    from pipeline.sources import open_source

    machine = inventory()
    plan = make_plan(open_source(params.collection, params.shop), params)
    machine = calibrated(machine, plan, slowness(machine.cores))
    conclusion = verdict(plan, params.planning, machine.slowness)
    artefacts.write_json(plan.model_dump(mode="json"), artefacts.PLAN.path)
    page(plan, conclusion).write(artefacts.page("planning").path)
    artefacts.write_json(machine.model_dump(), INVENTORY_PATH)
    warn_if_small(machine, plan)
    run.log_metrics({"machine": machine.model_dump(), "target": plan.target.model_dump()})
    return conclusion


if __name__ == "__main__":
    exit_with(main)

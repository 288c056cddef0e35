"""Deployment: the refitted model is bundled, checked in a running service, and promoted.

Reads:  models/challenger; data/clean; data/labelled/examples.parquet; reports/planning/plan.json
Writes: models/champion; reports/deployment/{report.json,index.html,verdict.json};
        .bentoml/ (the Bento) and reports/deployment/latency.json, both local to this machine
After a failed check the old champion stays, unless a person has accepted the failure by name.
"""

import logging
import shutil
from pathlib import Path

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params
from pipeline.contracts.verdicts import Verdict
from pipeline.runtime.gates import may_go_on
from pipeline.runtime.stage import exit_with, stage
from pipeline.runtime.tracking import Run

log = logging.getLogger("evergreen")


@stage("deployment", after="testing")
def main(params: Params, run: Run) -> Verdict:
    """Bundle the challenger, check it, and promote it."""
    from pipeline.bundles import pyfunc
    from pipeline.contracts.plan import read_plan
    from pipeline.deployment import release, report

    guardrails = read_plan().guardrails
    manifest = release.build_bundle(params)
    check = release.check_service(manifest, params)
    conclusion = report.build_verdict(manifest, check, guardrails)
    latency = report.build_latency_report(check)
    log.info("measured: %s", report.format_measurements(check))
    run.log_metrics(latency)
    artefacts.write_json(latency, Path("reports/deployment/latency.json"))
    is_promoted = may_go_on(conclusion)
    if is_promoted:
        release.promote()
    else:
        shutil.rmtree(release.BUNDLE)
    artefacts.write_json(report.build_report(manifest, check), artefacts.DEPLOYMENT_REPORT.path)
    report.build_page(manifest, conclusion).write(artefacts.page("deployment").path)
    if not is_promoted:
        return conclusion
    run.register_model(
        params.deployment.registered_model,
        artefacts.CHAMPION.path,
        loader=pyfunc,
        description="The products of a shopper's next basket. Card: reports/testing/model_card.md",
        tags={
            "bundle": manifest.version,
            "candidate": manifest.model.name,
            "as_of": manifest.as_of,
        },
    )
    return conclusion


if __name__ == "__main__":
    exit_with(main)

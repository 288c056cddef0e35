"""Deployment: the chosen model is refitted on all data, proved in a running service, promoted.

Reads:  data/clean; data/labelled/examples.parquet; models/candidates/<name>/model.json;
        reports/testing/metrics.json (which is the champion); reports/planning/plan.json
Writes: models/champion; reports/deployment/{report.json,index.html,verdict.json};
        .bentoml/ (the Bento) and reports/deployment/latency.json, both of this machine
A failed check leaves the old champion in place, unless a person has accepted it by name.
"""

import logging
import shutil
from pathlib import Path

from pipeline import artefacts
from pipeline.families.threads import suit_threads
from pipeline.gates import may_go_on
from pipeline.params import Params
from pipeline.stage import exit_with, stage
from pipeline.tracking import Run
from pipeline.verdicts import Verdict

log = logging.getLogger("evergreen")


@stage("deployment", after="testing")
def main(params: Params, run: Run) -> Verdict:
    """Refit, bundle, prove, promote."""
    from pipeline.deployment import release, report
    from pipeline.families.fit import clear_checkpoints
    from pipeline.planning.plan import read_plan

    guardrails = read_plan().guardrails
    name = artefacts.read_json(artefacts.TEST_METRICS)["champion"]
    suit_threads(name)
    manifest = release.build_challenger(name, params)
    clear_checkpoints()
    proof = release.prove(manifest, params)
    conclusion = report.verdict(manifest, proof, guardrails)
    latency = report.latency(proof)
    log.info("measured: %s", report.measured(proof))
    run.log_metrics(latency)
    artefacts.write_json(latency, Path("reports/deployment/latency.json"))
    is_promoted = may_go_on(conclusion)
    if is_promoted:
        release.promote()
    else:
        shutil.rmtree(release.CHALLENGER)
    artefacts.write_json(report.report(manifest, proof), artefacts.DEPLOYMENT_REPORT.path)
    report.page(manifest, conclusion).write(artefacts.page("deployment").path)
    if not is_promoted:
        return conclusion
    run.register_model(
        params.deployment.registered_model,
        artefacts.CHAMPION.path,
        description="The products of a shopper's next basket. Card: reports/testing/model_card.md",
        tags={"bundle": manifest["version"], "candidate": name, "as_of": manifest["as_of"]},
    )
    return conclusion


if __name__ == "__main__":
    exit_with(main)

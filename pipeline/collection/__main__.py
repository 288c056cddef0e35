"""Collection: raw tables become clean, validated tables, month by month.

Reads:  what collection.source names (files, or the installed Complete Journey package);
        data/suppressed/users.csv: whose rows are left out, as they asked to be forgotten;
        data/clean and data/quarantine of the last run: months that have not changed are kept
Writes: data/clean/{events,offers}/YYYY-MM.parquet, items.parquet, users.parquet, manifest.json;
        data/quarantine; reports/collection/{report.json,index.html,data_docs,verdict.json}
"""

import tempfile
from pathlib import Path

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params
from pipeline.contracts.verdicts import Verdict
from pipeline.runtime.stage import exit_with, stage
from pipeline.runtime.tracking import Run


@stage("collection", after="planning")
def main(params: Params, run: Run) -> Verdict:
    """Collect, report and judge."""
    from pipeline.collection.collecting import collect
    from pipeline.collection.report import page, report, verdict, write_docs
    from pipeline.event_store.suppression import read_suppressed
    from pipeline.sources import open_source
    from pipeline.validation import Validator

    with tempfile.TemporaryDirectory() as scratch:
        validator = Validator(Path(scratch))
        source = open_source(params.collection, params.shop)
        outcome = collect(source, params.collection, params.shop, validator, read_suppressed())
        found = report(outcome.manifest)
        conclusion = verdict(found, params.collection, params.shop)
        write_docs(outcome.manifest, validator, artefacts.COLLECTION_DOCS.path)
    artefacts.write_json(found, artefacts.COLLECTION_REPORT.path)
    page(found, conclusion).write(artefacts.page("collection").path)
    run.log_metrics({"n_reused_months": outcome.n_reused, "totals": found["totals"]})
    return conclusion


if __name__ == "__main__":
    exit_with(main)

"""Collection: turns raw tables into clean, validated tables, month by month.

Reads:  the files or the installed package of collection.source;
        data/corrections, the id maps of declared corrections;
        data/suppressed/users.csv, the forgotten people, whose rows are dropped;
        data/clean and data/quarantine of the last run, whose unchanged months are reused
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
    from pipeline.collection.collect import collect
    from pipeline.collection.report import build_page, build_report, build_verdict, write_docs
    from pipeline.event_store.suppression import read_suppressed
    from pipeline.sources import open_source
    from pipeline.validation import Validator

    with tempfile.TemporaryDirectory() as scratch:
        validator = Validator(Path(scratch))
        source = open_source(params.collection, params.shop)
        outcome = collect(source, params.collection, params.shop, validator, read_suppressed())
        report = build_report(outcome.manifest)
        conclusion = build_verdict(report, params.collection, params.shop)
        write_docs(outcome.manifest, validator, artefacts.COLLECTION_DOCS.path)
    artefacts.write_json(report, artefacts.COLLECTION_REPORT.path)
    build_page(report, conclusion).write(artefacts.page("collection").path)
    run.log_metrics({"n_reused_months": outcome.n_reused, "totals": report["totals"]})
    return conclusion


if __name__ == "__main__":
    exit_with(main)

"""Labeling: turn events into labelled examples, audit and validate them.

Reads:  data/clean/{events,offers}/YYYY-MM.parquet, items.parquet;
        data/reviewed/labels.csv: decisions of reviewers about doubtful labels
Writes: data/labelled/{examples.parquet,review_queue.csv,review_tasks.json};
        reports/labeling/{audit.json,index.html,data_docs,verdict.json}
"""

import tempfile
from pathlib import Path

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params
from pipeline.contracts.verdicts import Verdict
from pipeline.runtime.stage import exit_with, stage
from pipeline.runtime.tracking import Run


@stage("labeling", after="collection")
def main(params: Params, run: Run) -> Verdict:
    """Label the events, audit and validate the examples, and report."""
    from pipeline.labeling import outcome, report
    from pipeline.labeling.audit import checks
    from pipeline.labeling.audit.reviews import read_decisions
    from pipeline.validation import Validator

    decisions = read_decisions(artefacts.REVIEWED_LABELS)
    tables = outcome.read_tables()
    result = outcome.label_and_audit(tables, decisions, params.labeling, params.shop)
    with tempfile.TemporaryDirectory() as scratch:
        validator = Validator(Path(scratch))
        validations = checks.validate(
            result.table,
            result.balances,
            result.labelled.source.windows,
            params.labeling,
            validator,
        )
        checks.check_usable(validations)
        validator.write_docs(artefacts.LABELING_DOCS.path)
    conclusion = report.build_verdict(result.audit, result.balances, validations, params.labeling)
    outcome.write_outcome(result)
    settings = (params.labeling, params.shop)
    labeling_page = report.build_page(
        result.labelled, result.audit, conclusion, tables.items, settings
    )
    labeling_page.write(artefacts.page("labeling").path)
    outcome.log_outcome(result, run)
    return conclusion


if __name__ == "__main__":
    exit_with(main)

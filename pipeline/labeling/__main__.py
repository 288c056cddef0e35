"""Labeling: events become examples of what was wanted, audited and validated.

Reads:  data/clean/{events,offers}/YYYY-MM.parquet, items.parquet;
        data/reviewed/labels.csv: what people decided about doubtful labels
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
    """Label, audit, validate and judge."""
    from pipeline.labeling import outcome, report
    from pipeline.labeling.audit import checks
    from pipeline.labeling.audit.reviews import read_decisions
    from pipeline.validation import Validator

    decisions = read_decisions(artefacts.REVIEWED_LABELS)
    shop = outcome.read_shop()
    found = outcome.examine(shop, decisions, params.labeling, params.shop)
    with tempfile.TemporaryDirectory() as scratch:
        validator = Validator(Path(scratch))
        validations = checks.validate(
            found.table, found.balances, found.labelled.source.windows, params.labeling, validator
        )
        checks.check_usable(validations)
        validator.write_docs(artefacts.LABELING_DOCS.path)
    conclusion = report.verdict(found.audit, found.balances, validations, params.labeling)
    outcome.write(found)
    settings = (params.labeling, params.shop)
    view = report.page(found.labelled, found.audit, conclusion, shop.items, settings)
    view.write(artefacts.page("labeling").path)
    outcome.log(found, run)
    return conclusion


if __name__ == "__main__":
    exit_with(main)

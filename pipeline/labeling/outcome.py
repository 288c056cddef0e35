"""Inputs and outputs of labeling."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.contracts import artefacts, schemas
from pipeline.contracts.atomic import whole_folder
from pipeline.contracts.params import LabelingParams, ShopParams
from pipeline.labeling.audit.balance import compute_balance
from pipeline.labeling.audit.label_audit import (
    LabelAudit,
    audit_labels,
    collect_splits,
    count_reviews,
)
from pipeline.labeling.audit.label_issues import find_label_issues
from pipeline.labeling.audit.reviews import (
    build_review_queue,
    build_review_tasks,
    lines_matching,
    match_decisions,
    select_undecided,
    select_without_effect,
    warn_about_ignored,
)
from pipeline.labeling.examples.baskets import LINE_COLUMNS, build_basket_lines
from pipeline.labeling.examples.labelling import Labelled, gather_baskets, label_baskets
from pipeline.runtime.tracking import Run

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class LabelingTables:
    """The clean tables that labeling reads."""

    events: pd.DataFrame
    items: pd.DataFrame
    offers: pd.DataFrame


@dataclass(frozen=True)
class LabelingOutcome:
    """The labelled set and its audit.

    Attributes:
        labelled: The examples.
        table: The examples as schemas.EXAMPLES.
        balances: One row per split and protocol.
        audit: Counts of the audit.
        queue: Review queue.
    """

    labelled: Labelled
    table: "pa.Table"
    balances: pd.DataFrame
    audit: LabelAudit
    queue: pd.DataFrame


def read_tables() -> LabelingTables:
    """Read the clean tables.

    Raises:
        ArtefactError: A table is missing or damaged.
        SchemaError: A table lacks columns.
    """
    return LabelingTables(
        events=artefacts.read_table(artefacts.EVENTS, columns=LINE_COLUMNS),
        items=artefacts.read_table(artefacts.ITEMS),
        offers=artefacts.read_table(artefacts.OFFERS, columns=["item_id", "starts", "ends"]),
    )


def label_and_audit(
    tables: LabelingTables, decisions: pd.DataFrame, params: LabelingParams, shop: ShopParams
) -> LabelingOutcome:
    """Return the labelled set with its audit.

    Args:
        tables: The clean tables.
        decisions: From `read_decisions`.
        params: Parameters of examples and label issues.
        shop: Windows, time zone and seed.

    Raises:
        DataQualityError: The windows reach beyond the data, or a window has no basket.
    """
    lines = build_basket_lines(tables.events, params)
    baskets = gather_baskets(lines, tables.offers, shop, params)
    decided = match_decisions(decisions, baskets)
    warn_about_ignored(select_without_effect(decided))
    dropped = lines_matching(decided[decided["decision"] == "drop"], baskets)
    labelled = label_baskets(baskets, tables.offers, dropped, shop, params)
    issues = find_label_issues(
        baskets, tables.events, params, shop.timezone, shop.maximum_user_lines
    )
    open_issues = select_undecided(issues, decided)
    balances = compute_balance(labelled, tables.items, params.minimum_earlier_baskets)
    counts = audit_labels(labelled, issues, open_issues, tables.items, params.bulk_quantile)
    queue = build_review_queue(open_issues, labelled)
    audit = LabelAudit(
        **dict(counts),
        reviews=count_reviews(decided, dropped),
        n_questions=len(queue),
        splits=collect_splits(balances),
    )
    return LabelingOutcome(labelled, labelled.table(), balances, audit, queue)


def write_outcome(outcome: LabelingOutcome) -> None:
    """Write data/labelled (examples and review queue) atomically, then the audit."""
    with whole_folder(artefacts.EXAMPLES.path.parent) as folder:
        examples, queue, tasks = (
            folder / artefact.path.name
            for artefact in (artefacts.EXAMPLES, artefacts.REVIEW_QUEUE, artefacts.REVIEW_TASKS)
        )
        artefacts.write_table(outcome.table, examples, schemas.EXAMPLES)
        artefacts.write_text(outcome.queue.to_csv(index=False, lineterminator="\n"), queue)
        artefacts.write_json(build_review_tasks(outcome.queue), tasks)
    artefacts.write_record(outcome.audit, artefacts.LABEL_AUDIT)


def log_outcome(outcome: LabelingOutcome, run: Run) -> None:
    """Log the numbers and the identity of the labelled set."""
    run.log_metrics(outcome.audit.model_dump(include={"labels", "splits"}))
    rows = outcome.labelled.rows[["example_id", "cutoff", "timestamp", "n_earlier_baskets"]]
    counts = {"n_labels": outcome.labelled.labels, "n_negatives": outcome.labelled.negatives}
    sizes = {name: lists.lengths() for name, lists in counts.items()}
    run.log_dataset("examples", rows.assign(**sizes), str(artefacts.EXAMPLES.path))

"""All that labeling reads, finds and writes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.contracts import artefacts, schemas
from pipeline.contracts.atomic import whole_folder
from pipeline.contracts.params import LabelingParams, ShopParams
from pipeline.labeling.audit.balance import balance
from pipeline.labeling.audit.label_audit import Audit, audit, review_counts
from pipeline.labeling.audit.label_issues import find_label_issues
from pipeline.labeling.audit.reviews import (
    lines_that,
    resolve,
    review_queue,
    review_tasks,
    undecided,
    warn_of,
    without_effect,
)
from pipeline.labeling.examples.baskets import LINE_COLUMNS, basket_lines
from pipeline.labeling.examples.labelling import Labelled, gather, label
from pipeline.runtime.tracking import Run

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class LabelingTables:
    """What labeling reads of the clean tables."""

    events: pd.DataFrame
    items: pd.DataFrame
    offers: pd.DataFrame


@dataclass(frozen=True)
class LabelingOutcome:
    """The labelled set and what was found out about it.

    Attributes:
        labelled: The examples.
        table: The same as schemas.EXAMPLES.
        balances: One row per split and protocol.
        audit: All counts.
        queue: Questions to reviewers.
    """

    labelled: Labelled
    table: "pa.Table"
    balances: pd.DataFrame
    audit: Audit
    queue: pd.DataFrame


def read_shop() -> LabelingTables:
    """Read the clean tables.

    Raises:
        ArtefactError: One is missing or damaged.
        SchemaError: One does not have its columns.
    """
    return LabelingTables(
        events=artefacts.read_table(artefacts.EVENTS, columns=LINE_COLUMNS),
        items=artefacts.read_table(artefacts.ITEMS),
        offers=artefacts.read_table(artefacts.OFFERS, columns=["item_id", "starts", "ends"]),
    )


def examine(
    tables: LabelingTables, decisions: pd.DataFrame, params: LabelingParams, shop: ShopParams
) -> LabelingOutcome:
    """Return the labelled set with its audit.

    Args:
        tables: The clean tables.
        decisions: From `read_decisions`.
        params: What an example is, and where doubt begins.
        shop: The windows, the time zone and the seed.

    Raises:
        DataQualityError: The windows reach beyond the data, or one holds no basket.
    """
    lines = basket_lines(tables.events, params)
    found = gather(lines, tables.offers, shop, params)
    decided = resolve(decisions, found)
    warn_of(without_effect(decided))
    dropped = lines_that(decided[decided["decision"] == "drop"], found)
    labelled = label(found, tables.offers, dropped, shop, params)
    doubts = find_label_issues(found, tables.events, params, shop.timezone, shop.maximum_user_lines)
    waiting = undecided(doubts, decided)
    balances = balance(labelled, tables.items, params.minimum_earlier_baskets)
    counts = audit(labelled, doubts, waiting, tables.items, params.bulk_quantile)
    queue = review_queue(waiting, labelled)
    counts |= {"reviews": review_counts(decided, dropped), "n_questions": len(queue)}
    return LabelingOutcome(labelled, labelled.table(), balances, counts | _splits(balances), queue)


def _splits(balances: pd.DataFrame) -> Audit:
    nested: Audit = {}
    for row in balances.to_dict("records"):
        split, protocol = row.pop("split"), row.pop("protocol")
        nested.setdefault(str(split), {})[str(protocol)] = row
    return {"splits": nested}


def write(found: LabelingOutcome) -> None:
    """Write data/labelled with the examples and the questions, whole or not at all; the audit."""
    with whole_folder(artefacts.EXAMPLES.path.parent) as folder:
        examples, queue, tasks = (
            folder / artefact.path.name
            for artefact in (artefacts.EXAMPLES, artefacts.REVIEW_QUEUE, artefacts.REVIEW_TASKS)
        )
        artefacts.write_table(found.table, examples, schemas.EXAMPLES)
        artefacts.write_text(found.queue.to_csv(index=False, lineterminator="\n"), queue)
        artefacts.write_json(review_tasks(found.queue), tasks)
    artefacts.write_json(found.audit, artefacts.LABEL_AUDIT.path)


def log(found: LabelingOutcome, run: Run) -> None:
    """Record the labelled set's numbers and its identity."""
    run.log_metrics({"labels": found.audit["labels"], "splits": found.audit["splits"]})
    rows = found.labelled.rows[["example_id", "cutoff", "timestamp", "n_earlier_baskets"]]
    counts = {"n_labels": found.labelled.labels, "n_negatives": found.labelled.negatives}
    sizes = {name: lists.lengths() for name, lists in counts.items()}
    run.log_dataset("examples", rows.assign(**sizes), str(artefacts.EXAMPLES.path))

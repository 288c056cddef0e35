"""What people decided about doubtful labels, and what they are still asked.

    data/labelled/review_queue.csv     the questions, one row per doubt; `decision` is empty
    data/labelled/review_tasks.json    the same as Label Studio tasks
    data/reviewed/labels.csv           the answers: rows of the queue with `keep` or `drop`

An empty `item_id` speaks of the whole basket. `drop` takes the label, or all labels of the basket,
out of every example; `keep` says that the doubt named by `reason` is unfounded. Rows that are not
decided yet may stay empty, further columns are left alone (a Label Studio export has some).

No user is named in any of these files: examples are called by `review_id`. An example's own id,
which names its user, is understood too.

Only training and validation are reviewed. A decision about a basket of the test or the production
window has no effect and is counted: who chooses the labels that a model is measured on chooses its
quality. It takes effect once that basket lies in a training or validation window.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.errors import ArtefactError, DataQualityError
from pipeline.contracts.review_ids import review_id
from pipeline.contracts.schemas import PROTOCOLS
from pipeline.labeling.audit.label_issues import REASONS
from pipeline.labeling.examples.labelling import Baskets, Labelled
from pipeline.labeling.examples.selection import example_ids

log = logging.getLogger("evergreen")
COLUMNS = ["example_id", "basket_id", "item_id", "reason", "decision"]
DECISIONS = ("keep", "drop")
HEADER = ",".join(COLUMNS)
REVIEWED_SPLITS = ("train", "validation")
HELD_OUT_SPLITS = ("test", "production")


def read_decisions(path: Path) -> pd.DataFrame:
    """Return the decided rows of a reviewed file, without what is empty or repeated.

    Raises:
        ArtefactError: The file is missing, or not a CSV.
        DataQualityError: It lacks a column, or holds an unknown or contradictory decision.
    """
    if not path.is_file():
        raise ArtefactError(
            f"'{path}', which holds what reviewers decided about labels",
            received="no such file",
            action=f"Restore it with `git checkout {path}`, or write the line '{HEADER}' into it.",
        )
    try:
        rows = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise ArtefactError(
            f"a CSV with the columns {HEADER} in '{path}'",
            received=f"{type(error).__name__}: {str(error).strip()}",
            action="Save it as UTF-8 with commas between the columns and a header line.",
        ) from error
    _check_columns(rows, path)
    rows = rows[COLUMNS].apply(lambda column: column.str.strip())
    decided = rows[rows["decision"] != ""]
    _check_decisions(decided, path)
    unique: pd.DataFrame = decided.drop_duplicates(ignore_index=True)
    return unique


def _check_columns(rows: pd.DataFrame, path: Path) -> None:
    missing = [name for name in COLUMNS if name not in rows.columns]
    if missing:
        raise DataQualityError(
            f"the columns {HEADER} in '{path}'",
            received=f"{','.join(map(str, rows.columns))} (missing: {', '.join(missing)})",
            action="Copy rows of data/labelled/review_queue.csv with their header and fill in "
            "the column decision.",
        )


def _check_decisions(rows: pd.DataFrame, path: Path) -> None:
    unknown = rows[~rows["decision"].isin(DECISIONS) | (rows["example_id"] == "")]
    if len(unknown):
        first = unknown.iloc[0]
        raise DataQualityError(
            f"keep or drop, and an example_id, in every decision in '{path}'",
            received=f"'{first['decision']}' in line {int(unknown.index[0]) + 2}, and "
            f"{len(unknown) - 1} more",
            action="Correct these lines; leave decision empty where nothing is decided.",
        )
    subject = ["example_id", "basket_id", "item_id", "reason"]
    both = rows.drop_duplicates().duplicated(subject, keep=False)
    if both.any():
        first = rows.drop_duplicates()[both].iloc[0]
        raise DataQualityError(
            f"one decision per label in '{path}'",
            received=f"both keep and drop for basket '{first['basket_id']}', "
            f"item '{first['item_id']}', reason '{first['reason']}'",
            action="Remove one of them.",
        )


def resolve(decisions: pd.DataFrame, found: Baskets) -> pd.DataFrame:
    """Return the decisions with the basket that each may change.

    An example is known by its id even when it is not drawn this time: a decision about a basket
    holds for every example of it.

    Returns:
        The decisions with `split`, that of the basket's window ("" for none), and `basket`, its
        position: -1 where there is none, or where the split is of HELD_OUT_SPLITS.
    """
    if decisions.empty:
        return decisions.assign(split="", basket=np.array([], dtype=np.int64))
    positions = np.full(len(decisions), -1, dtype=np.int64)
    for protocol in PROTOCOLS:
        examples = example_ids(protocol, found.baskets)
        for ids in (pd.Index(examples.map(review_id)), pd.Index(examples)):
            here = ids.get_indexer(pd.Index(decisions["example_id"]))
            positions = np.where(here >= 0, here, positions)
    names = found.baskets["basket_id"].to_numpy(dtype=object)[positions]
    same = names == decisions["basket_id"].to_numpy(dtype=object)
    windows = np.where(same, found.baskets["window"].to_numpy()[positions], -1)
    split = np.array([*(window.split for window in found.windows), ""], dtype=object)[windows]
    is_changeable = same & ~np.isin(split.astype(str), HELD_OUT_SPLITS)
    return decisions.assign(split=split, basket=np.where(is_changeable, positions, -1))


def without_effect(decided: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `resolve` that speak of labels which no decision changes."""
    return decided[decided["split"].isin(HELD_OUT_SPLITS)]


def warn_of(ignored: pd.DataFrame) -> None:
    """Log which decisions have no effect, if any."""
    if len(ignored):
        log.warning(
            "%d decisions in data/reviewed/labels.csv name baskets of the test or production "
            "window and change nothing: labels that a model is measured on are not reviewed. The "
            "first: basket %s. Remove these rows; they count once it is in a training window.",
            len(ignored),
            ignored["basket_id"].iloc[0],
        )


def lines_that(decisions: pd.DataFrame, found: Baskets) -> npt.NDArray[np.bool_]:
    """Return which lines the rows (basket, item_id) speak of; an empty item_id is all of them."""
    whole = decisions[(decisions["item_id"] == "") & (decisions["basket"] >= 0)]
    marked = np.isin(found.lines["basket"].to_numpy(), whole["basket"].to_numpy(dtype=np.int64))
    single = decisions[(decisions["item_id"] != "") & (decisions["basket"] >= 0)]
    items = pd.Index(found.names).get_indexer(pd.Index(single["item_id"]))
    wanted = single["basket"].to_numpy(dtype=np.int64) * len(found.names) + items
    keys = found.lines["basket"].to_numpy() * len(found.names) + found.lines["item"].to_numpy()
    return np.asarray(marked | np.isin(keys, wanted[items >= 0]))


def undecided(doubts: pd.DataFrame, decisions: pd.DataFrame) -> pd.DataFrame:
    """Return the doubts that no reviewer has settled: neither kept nor dropped."""
    subject = ["basket", "item_id", "reason"]
    settled = pd.MultiIndex.from_frame(decisions[subject])
    return doubts[~pd.MultiIndex.from_frame(doubts[subject]).isin(settled)].reset_index(drop=True)


def review_queue(open_doubts: pd.DataFrame, labelled: Labelled) -> pd.DataFrame:
    """Return the questions about labels in use, ordered by example, item and reason.

    Args:
        open_doubts: From `undecided`.
        labelled: Doubts about what is no label of an example of REVIEWED_SPLITS are left out.

    Returns:
        COLUMNS with an empty decision, then timestamp, n_items, evidence, suggested. The examples
        are called by `review_id`.
    """
    reviewed = labelled.rows[labelled.rows["split"].isin(REVIEWED_SPLITS)]
    examples = reviewed[["basket", "example_id"]].sort_values("example_id")
    shown = examples.drop_duplicates("basket")
    queue = open_doubts.merge(shown, on="basket")
    queue = queue[_is_label(queue, labelled)]
    baskets = labelled.source.baskets.iloc[queue["basket"].to_numpy(dtype=np.int64)]
    queue = queue.assign(
        example_id=queue["example_id"].map(review_id),
        basket_id=baskets["basket_id"].to_numpy(),
        decision="",
        timestamp=baskets["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%SZ").to_numpy(),
        n_items=baskets["n_items"].to_numpy(),
        suggested=[REASONS[reason][0] for reason in queue["reason"]],
    )
    columns = [*COLUMNS, "timestamp", "n_items", "evidence", "suggested"]
    return queue.sort_values(["example_id", "item_id", "reason"], ignore_index=True)[columns]


def _is_label(doubts: pd.DataFrame, labelled: Labelled) -> npt.NDArray[np.bool_]:
    lines = labelled.source.lines.iloc[np.unique(labelled.labels.values)]
    labels = pd.MultiIndex.from_frame(lines[["basket", "item_id"]])
    single = pd.MultiIndex.from_frame(doubts[["basket", "item_id"]]).isin(labels)
    return np.asarray(single | (doubts["item_id"] == "").to_numpy())


def review_tasks(queue: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the queue as Label Studio tasks; what is suggested is a prediction.

    The labeling interface needs a `Choices` tag called `decision` (keep, drop) on a `Text` tag
    called `label` that shows `$text`.
    """
    return [
        {
            "data": {
                **{name: row[name] for name in COLUMNS if name != "decision"},
                "text": f"{row['evidence']}: {REASONS[row['reason']][1]}",
                "timestamp": row["timestamp"],
                "n_items": row["n_items"],
            },
            "predictions": [
                {
                    "model_version": "label audit",
                    "result": [
                        {
                            "from_name": "decision",
                            "to_name": "label",
                            "type": "choices",
                            "value": {"choices": [row["suggested"]]},
                        }
                    ],
                }
            ],
        }
        for row in queue.to_dict("records")
    ]

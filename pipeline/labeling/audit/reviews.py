"""Review of label issues: the queue of open issues, and the decisions of reviewers.

    data/labelled/review_queue.csv     open label issues, one row each; `decision` is empty
    data/labelled/review_tasks.json    the same as Label Studio tasks
    data/reviewed/labels.csv           decisions: rows of the queue with `keep` or `drop`

An empty `item_id` refers to the whole basket. `drop` removes the label, or all labels of the
basket, from every example; `keep` dismisses the issue named by `reason`. Undecided rows may stay
empty; additional columns, such as those of a Label Studio export, are ignored.

The files contain no user ids: `review_id` identifies examples. The example id, which contains the
user id, is accepted too.

Only training and validation are reviewed. Decisions about the test and production windows have no
effect and are counted, because nobody may select the labels that a model is measured on. They take
effect once the basket lies in a training or validation window.
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
from pipeline.labeling.examples.selection import build_example_ids

log = logging.getLogger("evergreen")
COLUMNS = ["example_id", "basket_id", "item_id", "reason", "decision"]
DECISIONS = ("keep", "drop")
HEADER = ",".join(COLUMNS)
REVIEWED_SPLITS = ("train", "validation")
HELD_OUT_SPLITS = ("test", "production")


def read_decisions(path: Path) -> pd.DataFrame:
    """Return the decided rows of a reviewed file, without duplicates.

    Raises:
        ArtefactError: The file is missing or no CSV.
        DataQualityError: A column is missing, or a decision is unknown or contradictory.
    """
    if not path.is_file():
        raise ArtefactError(
            f"decisions of reviewers in '{path}'",
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


def match_decisions(decisions: pd.DataFrame, baskets: Baskets) -> pd.DataFrame:
    """Return the decisions with the basket that each one changes.

    A decision applies to all examples of a basket, so it matches even if the example with that id
    is not drawn.

    Returns:
        The decisions with `split`, the split of the basket's window ("" for none), and `basket`,
        the position of the basket: -1 if there is none or if the split is held out.
    """
    if decisions.empty:
        return decisions.assign(split="", basket=np.array([], dtype=np.int64))
    positions = np.full(len(decisions), -1, dtype=np.int64)
    for protocol in PROTOCOLS:
        examples = build_example_ids(protocol, baskets.baskets)
        for ids in (pd.Index(examples.map(review_id)), pd.Index(examples)):
            here = ids.get_indexer(pd.Index(decisions["example_id"]))
            positions = np.where(here >= 0, here, positions)
    names = baskets.baskets["basket_id"].to_numpy(dtype=object)[positions]
    same = names == decisions["basket_id"].to_numpy(dtype=object)
    windows = np.where(same, baskets.baskets["window"].to_numpy()[positions], -1)
    split = np.array([*(window.split for window in baskets.windows), ""], dtype=object)[windows]
    is_changeable = same & ~np.isin(split.astype(str), HELD_OUT_SPLITS)
    return decisions.assign(split=split, basket=np.where(is_changeable, positions, -1))


def select_without_effect(decided: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `match_decisions` about held-out labels."""
    return decided[decided["split"].isin(HELD_OUT_SPLITS)]


def warn_about_ignored(ignored: pd.DataFrame) -> None:
    """Log a warning about decisions without effect, if any."""
    if len(ignored):
        log.warning(
            "%d decisions in data/reviewed/labels.csv have no effect, because they are about "
            "baskets of the test or production window. The first is about basket %s. Remove "
            "these rows, or keep them until the basket is in a training window.",
            len(ignored),
            ignored["basket_id"].iloc[0],
        )


def lines_matching(decisions: pd.DataFrame, baskets: Baskets) -> npt.NDArray[np.bool_]:
    """Return [n_lines] whether a row (basket, item_id) matches; an empty item_id matches all."""
    whole = decisions[(decisions["item_id"] == "") & (decisions["basket"] >= 0)]
    marked = np.isin(baskets.lines["basket"].to_numpy(), whole["basket"].to_numpy(dtype=np.int64))
    single = decisions[(decisions["item_id"] != "") & (decisions["basket"] >= 0)]
    items = pd.Index(baskets.names).get_indexer(pd.Index(single["item_id"]))
    wanted = single["basket"].to_numpy(dtype=np.int64) * len(baskets.names) + items
    keys = (
        baskets.lines["basket"].to_numpy() * len(baskets.names) + baskets.lines["item"].to_numpy()
    )
    return np.asarray(marked | np.isin(keys, wanted[items >= 0]))


def select_undecided(issues: pd.DataFrame, decisions: pd.DataFrame) -> pd.DataFrame:
    """Return the label issues without a decision."""
    subject = ["basket", "item_id", "reason"]
    settled = pd.MultiIndex.from_frame(decisions[subject])
    return issues[~pd.MultiIndex.from_frame(issues[subject]).isin(settled)].reset_index(drop=True)


def build_review_queue(open_issues: pd.DataFrame, labelled: Labelled) -> pd.DataFrame:
    """Return the open issues of labels in use, ordered by example, item and reason.

    Args:
        open_issues: From `select_undecided`.
        labelled: Examples; only issues of labels in REVIEWED_SPLITS are queued.

    Returns:
        COLUMNS with an empty decision, then timestamp, n_items, evidence, suggested. `review_id`
        identifies the examples.
    """
    reviewed = labelled.rows[labelled.rows["split"].isin(REVIEWED_SPLITS)]
    examples = reviewed[["basket", "example_id"]].sort_values("example_id")
    shown = examples.drop_duplicates("basket")
    queue = open_issues.merge(shown, on="basket")
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


def _is_label(issues: pd.DataFrame, labelled: Labelled) -> npt.NDArray[np.bool_]:
    lines = labelled.source.lines.iloc[np.unique(labelled.labels.values)]
    labels = pd.MultiIndex.from_frame(lines[["basket", "item_id"]])
    single = pd.MultiIndex.from_frame(issues[["basket", "item_id"]]).isin(labels)
    return np.asarray(single | (issues["item_id"] == "").to_numpy())


def build_review_tasks(queue: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the queue as Label Studio tasks with the suggestions as predictions.

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

"""Audit of the labels: counts for the verdict and the page."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.records import Record
from pipeline.labeling.audit.label_issues import REASONS, bulk_limits
from pipeline.labeling.audit.reviews import HELD_OUT_SPLITS, lines_matching, select_without_effect
from pipeline.labeling.examples.labelling import Labelled


class IssueCounts(Record):
    """The label issues of one reason, in all baskets."""

    n_baskets: int
    n_users: int
    n_rows: int


class LabelCounts(Record):
    """The labels in use; those of test and production are held out from review.

    Attributes:
        n_labels: All labels.
        n_reviewed: Labels of training and validation.
        n_doubtful: Reviewed labels with an open issue.
        doubtful_fraction: Share of the reviewed labels.
        n_doubtful_by_reason: Reviewed labels with an open issue of each reason.
        n_held_out: Labels of test and production.
        n_held_out_doubtful: Held-out labels with an open issue.
        held_out_doubtful_fraction: Share of the held-out labels.
        n_without_category: Labels of items without a category.
    """

    n_labels: int
    n_reviewed: int
    n_doubtful: int
    doubtful_fraction: float
    n_doubtful_by_reason: dict[str, int]
    n_held_out: int
    n_held_out_doubtful: int
    held_out_doubtful_fraction: float
    n_without_category: int


class ReviewCounts(Record):
    """The decisions of reviewers and their effects.

    Attributes:
        n_decisions: Rows of data/reviewed/labels.csv.
        n_keep: Decisions to keep a label.
        n_drop: Decisions to drop a label.
        n_unmatched: Decisions about a basket that does not exist.
        n_without_effect: Decisions about baskets of test or production.
        n_lines_dropped: Basket lines that decisions drop.
    """

    n_decisions: int
    n_keep: int
    n_drop: int
    n_unmatched: int
    n_without_effect: int
    n_lines_dropped: int


class SplitCounts(Record):
    """Size, balance and coverage of the examples of one split and protocol (`balance.py`)."""

    n_examples: int
    n_users: int
    n_labels: int
    n_carts: int
    mean_labels: float
    positive_fraction: float
    user_coverage: float
    item_coverage: float
    department_coverage: float


class IssueAudit(Record):
    """The label issues in the data and in the labels in use.

    Attributes:
        doubts: Issues by reason.
        bulk_limit_items: Products beyond which a basket is bulk.
        bulk_limit_units: Units beyond which a basket is bulk.
        n_baskets: All baskets.
        n_lines: All basket lines.
        n_lines_returned: Basket lines that were returned.
        labels: The labels in use.
    """

    doubts: dict[str, IssueCounts]
    bulk_limit_items: float
    bulk_limit_units: float
    n_baskets: int
    n_lines: int
    n_lines_returned: int
    labels: LabelCounts


class LabelAudit(IssueAudit):
    """reports/labeling/audit.json.

    Attributes:
        reviews: Decisions of reviewers.
        n_questions: Rows of the review queue.
        splits: The examples by split and protocol.
    """

    reviews: ReviewCounts
    n_questions: int
    splits: dict[str, dict[str, SplitCounts]]


def audit_labels(
    labelled: Labelled,
    issues: pd.DataFrame,
    open_issues: pd.DataFrame,
    items: pd.DataFrame,
    bulk_quantile: float,
) -> IssueAudit:
    """Return the counts of label issues in the data and in the labels in use.

    Args:
        labelled: The examples.
        issues: All label issues, those of baskets outside the windows included.
        open_issues: Issues without a decision.
        items: schemas.ITEMS, for the categories.
        bulk_quantile: Quantile of basket size above which a basket is bulk.
    """
    baskets = labelled.source.baskets
    most_items, most_units = bulk_limits(baskets, bulk_quantile)
    buyers = baskets["user_id"].to_numpy(dtype=object)[issues["basket"]]
    by_reason = {
        reason: IssueCounts(
            n_baskets=int(issues.loc[issues["reason"] == reason, "basket"].nunique()),
            n_users=len(set(buyers[(issues["reason"] == reason).to_numpy()])),
            n_rows=int((issues["reason"] == reason).sum()),
        )
        for reason in REASONS
    }
    return IssueAudit(
        doubts=by_reason,
        bulk_limit_items=most_items,
        bulk_limit_units=most_units,
        n_baskets=len(baskets),
        n_lines=len(labelled.source.lines),
        n_lines_returned=int(labelled.source.lines["returned_at"].notna().sum()),
        labels=_labels(labelled, open_issues, items),
    )


def _labels(labelled: Labelled, open_issues: pd.DataFrame, items: pd.DataFrame) -> LabelCounts:
    """Return the counts of the labels in use, reviewed and held out."""
    used = labelled.labels.values
    held_out = labelled.rows["split"].isin(HELD_OUT_SPLITS).to_numpy()[labelled.labels.rows()]
    reviewed = used[~held_out]
    per_reason = {
        reason: int(_lines(labelled, open_issues[open_issues["reason"] == reason])[reviewed].sum())
        for reason in REASONS
    }
    is_doubtful = _lines(labelled, open_issues)
    n_doubtful, n_held_out = int(is_doubtful[reviewed].sum()), int(held_out.sum())
    n_held_out_doubtful = int(is_doubtful[used[held_out]].sum())
    return LabelCounts(
        n_labels=len(used),
        n_reviewed=len(reviewed),
        n_doubtful=n_doubtful,
        doubtful_fraction=n_doubtful / max(len(reviewed), 1),
        n_doubtful_by_reason=per_reason,
        n_held_out=n_held_out,
        n_held_out_doubtful=n_held_out_doubtful,
        held_out_doubtful_fraction=n_held_out_doubtful / max(n_held_out, 1),
        n_without_category=_n_without_category(labelled, items),
    )


def _n_without_category(labelled: Labelled, items: pd.DataFrame) -> int:
    has_category = items.set_index("item_id")["category"].notna()
    names = pd.Series(labelled.source.names, dtype="object")
    known = names.isin(has_category.index[has_category]).to_numpy()
    return int((~known[labelled.source.lines["item"].to_numpy()[labelled.labels.values]]).sum())


def _lines(labelled: Labelled, issues: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return lines_matching(issues, labelled.source)


def count_reviews(decisions: pd.DataFrame, dropped: npt.NDArray[np.bool_]) -> ReviewCounts:
    """Return the counts of decisions and of their effects.

    Args:
        decisions: From `match_decisions`.
        dropped: [n_lines] whether a decision drops the line.
    """
    n_without_effect = len(select_without_effect(decisions))
    return ReviewCounts(
        n_decisions=len(decisions),
        n_keep=int((decisions["decision"] == "keep").sum()),
        n_drop=int((decisions["decision"] == "drop").sum()),
        n_unmatched=int((decisions["basket"] < 0).sum()) - n_without_effect,
        n_without_effect=n_without_effect,
        n_lines_dropped=int(dropped.sum()),
    )


def collect_splits(balances: pd.DataFrame) -> dict[str, dict[str, SplitCounts]]:
    """Return the rows of `compute_balance` by split and protocol."""
    splits: dict[str, dict[str, SplitCounts]] = {}
    for row in balances.to_dict("records"):
        split, protocol = str(row.pop("split")), str(row.pop("protocol"))
        counts = {str(name): value for name, value in row.items()}
        splits.setdefault(split, {})[protocol] = SplitCounts(**counts)
    return splits

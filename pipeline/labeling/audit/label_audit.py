"""Audit of the labels: counts for the verdict and the page."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.labeling.audit.label_issues import REASONS, bulk_limits
from pipeline.labeling.audit.reviews import HELD_OUT_SPLITS, lines_matching, select_without_effect
from pipeline.labeling.examples.labelling import Labelled

Audit = dict[str, Any]


def audit_labels(
    labelled: Labelled,
    issues: pd.DataFrame,
    open_issues: pd.DataFrame,
    items: pd.DataFrame,
    bulk_quantile: float,
) -> Audit:
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
        reason: {
            "n_baskets": int(issues.loc[issues["reason"] == reason, "basket"].nunique()),
            "n_users": len(set(buyers[(issues["reason"] == reason).to_numpy()])),
            "n_rows": int((issues["reason"] == reason).sum()),
        }
        for reason in REASONS
    }
    return {
        "doubts": by_reason,
        "bulk_limit_items": most_items,
        "bulk_limit_units": most_units,
        "n_baskets": len(baskets),
        "n_lines": len(labelled.source.lines),
        "n_lines_returned": int(labelled.source.lines["returned_at"].notna().sum()),
        "labels": _labels(labelled, open_issues, items),
    }


def _labels(labelled: Labelled, open_issues: pd.DataFrame, items: pd.DataFrame) -> Audit:
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
    return {
        "n_labels": len(used),
        "n_reviewed": len(reviewed),
        "n_doubtful": n_doubtful,
        "doubtful_fraction": n_doubtful / max(len(reviewed), 1),
        "n_doubtful_by_reason": per_reason,
        "n_held_out": n_held_out,
        "n_held_out_doubtful": n_held_out_doubtful,
        "held_out_doubtful_fraction": n_held_out_doubtful / max(n_held_out, 1),
        "n_without_category": _n_without_category(labelled, items),
    }


def _n_without_category(labelled: Labelled, items: pd.DataFrame) -> int:
    has_category = items.set_index("item_id")["category"].notna()
    names = pd.Series(labelled.source.names, dtype="object")
    known = names.isin(has_category.index[has_category]).to_numpy()
    return int((~known[labelled.source.lines["item"].to_numpy()[labelled.labels.values]]).sum())


def _lines(labelled: Labelled, issues: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return lines_matching(issues, labelled.source)


def count_reviews(decisions: pd.DataFrame, dropped: npt.NDArray[np.bool_]) -> dict[str, int]:
    """Return the counts of decisions and of their effects.

    Args:
        decisions: From `match_decisions`.
        dropped: [n_lines] whether a decision drops the line.
    """
    n_without_effect = len(select_without_effect(decisions))
    return {
        "n_decisions": len(decisions),
        "n_keep": int((decisions["decision"] == "keep").sum()),
        "n_drop": int((decisions["decision"] == "drop").sum()),
        "n_unmatched": int((decisions["basket"] < 0).sum()) - n_without_effect,
        "n_without_effect": n_without_effect,
        "n_lines_dropped": int(dropped.sum()),
    }

"""The labels of a window beside the purchases that they should be."""

from functools import lru_cache

import numpy as np
import pandas as pd

from pipeline.monitoring.diagnosis.case import Case


@lru_cache(maxsize=4)
def match_labels(case: Case) -> pd.DataFrame:
    """Return one row per request with a basket: `n_labels`, `n_bought`, and `n_right`.

    `n_bought` counts the distinct items of the request's basket, `n_right` the labels among them.
    A request whose basket is unknown to the events has none of both.
    """
    examples = case.labelled
    if examples.empty or "basket_id" not in examples:
        return pd.DataFrame(columns=["n_labels", "n_bought", "n_right"], dtype=float)
    examples = examples[examples["basket_id"].notna()].reset_index(drop=True)
    labels = pd.DataFrame(
        {
            "row": np.repeat(examples.index, examples["labels"].map(len)),
            "item_id": [item for items in examples["labels"] for item in items],
        }
    )
    labels["basket_id"] = examples["basket_id"].to_numpy()[labels["row"]]
    bought = case.now[["basket_id", "item_id"]].drop_duplicates()
    right = labels.merge(bought, on=["basket_id", "item_id"])
    return pd.DataFrame(
        {
            "n_labels": examples["labels"].map(len),
            "n_bought": examples["basket_id"].map(bought["basket_id"].value_counts()).fillna(0),
            "n_right": right["row"].value_counts().reindex(examples.index, fill_value=0),
        }
    ).astype(float)


def is_foreign(rows: pd.DataFrame) -> pd.Series:
    """Return whether most labels of a request are not of its basket."""
    return (rows["n_labels"] > 0) & (rows["n_right"] < 0.5 * rows["n_labels"])

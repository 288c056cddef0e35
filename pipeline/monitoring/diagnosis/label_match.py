"""The labels of a window beside the purchases that they should be."""

from functools import lru_cache

import pandas as pd

from pipeline.monitoring.diagnosis.case import BASKET, Case


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
    requests = examples[BASKET].assign(row=examples.index)
    labels = requests.assign(item_id=examples["labels"]).explode("item_id").dropna()
    bought = case.now[[*BASKET, "item_id"]].drop_duplicates()
    right = labels.merge(bought, on=[*BASKET, "item_id"])
    n_bought = bought.groupby(BASKET).size().rename("n_bought").reset_index()
    return pd.DataFrame(
        {
            "n_labels": examples["labels"].map(len),
            "n_bought": requests.merge(n_bought, on=BASKET, how="left")["n_bought"].fillna(0),
            "n_right": right["row"].value_counts().reindex(examples.index, fill_value=0),
        }
    ).astype(float)


def is_foreign(rows: pd.DataFrame) -> pd.Series:
    """Return whether most labels of a request are not of its basket."""
    return (rows["n_labels"] > 0) & (rows["n_right"] < 0.5 * rows["n_labels"])

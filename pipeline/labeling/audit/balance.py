"""Size, class balance and coverage of each split and protocol."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.labeling.examples.labelling import Labelled
from pipeline.labeling.examples.ragged import Longs


def compute_balance(labelled: Labelled, items: pd.DataFrame, minimum_earlier: int) -> pd.DataFrame:
    """Return one row per split and protocol, in chronological order.

    Args:
        labelled: The examples.
        items: schemas.ITEMS, for the departments.
        minimum_earlier: Earlier baskets that make a user known.

    Returns:
        split, protocol, n_examples, n_users, n_labels, n_carts, mean_labels; positive_fraction:
        labels / (labels + negatives); user_coverage: known users with an example / known users;
        item_coverage and department_coverage: those with a label / those sold. Known and sold
        refer to the start of the split's last window.
    """
    frame = labelled.rows.reset_index(drop=True)
    known_since = _known_since(labelled.source.baskets, minimum_earlier)
    sold = Sold.of(labelled, items)
    table_rows = []
    for (split, protocol), rows in frame.groupby(["split", "protocol"], sort=False):
        members = rows.index.to_numpy(dtype=np.int64)
        labels = labelled.items(labelled.labels).take(members)
        n_negatives = int(labelled.negatives.lengths()[members].sum())
        n_labels = len(labels.values)
        table_rows.append(
            {
                "split": split,
                "protocol": protocol,
                "n_examples": len(rows),
                "n_users": int(rows["user_id"].nunique()),
                "n_labels": n_labels,
                "n_carts": int((labelled.cart.lengths()[members] > 0).sum()),
                "mean_labels": n_labels / len(rows),
                "positive_fraction": n_labels / max(n_labels + n_negatives, 1),
                "user_coverage": _user_coverage(known_since, rows),
                **sold.coverage(labels.values, rows["cutoff"].max()),
            }
        )
    return pd.DataFrame(table_rows)


def _known_since(baskets: pd.DataFrame, minimum_earlier: int) -> pd.Series:
    """Return the moment when each user reached the minimum number of baskets."""
    bought = baskets.loc[baskets["n_purchases"] > 0, ["user_id", "timestamp"]]
    bought = bought.sort_values(["user_id", "timestamp"], kind="stable")
    reached = bought.groupby("user_id", sort=False).cumcount() == max(minimum_earlier, 1) - 1
    return bought[reached].set_index("user_id")["timestamp"]


def _user_coverage(known_since: pd.Series, rows: pd.DataFrame) -> float:
    known = known_since.index[known_since < rows["cutoff"].max()]
    return float(known.isin(rows["user_id"]).mean()) if len(known) else 0.0


@dataclass(frozen=True)
class Sold:
    """First sale and department of each item.

    Attributes:
        first: [n_names] first purchase; NaT if never sold.
        departments: [n_names] department code, -1 for none.
    """

    first: pd.Series
    departments: Longs

    @classmethod
    def of(cls, labelled: Labelled, items: pd.DataFrame) -> "Sold":
        """Return the first sales in the baskets of `labelled`."""
        source = labelled.source
        bought = source.lines[source.lines["n_purchases"] > 0]
        first = bought.groupby("item")["timestamp"].min().reindex(np.arange(len(source.names)))
        departments = items.set_index("item_id")["department"].reindex(pd.Index(source.names))
        return cls(first, np.asarray(pd.factorize(departments)[0], dtype=np.int64))

    def coverage(self, labels: Longs, cutoff: pd.Timestamp) -> dict[str, float]:
        """Return the shares of items and departments sold before `cutoff` that have a label."""
        sold = np.flatnonzero((self.first < cutoff).to_numpy())
        held = np.intersect1d(labels, sold)
        return {
            "item_coverage": len(held) / max(len(sold), 1),
            "department_coverage": self._n_departments(held) / max(self._n_departments(sold), 1),
        }

    def _n_departments(self, items: Longs) -> int:
        return len(np.setdiff1d(self.departments[items], [-1]))

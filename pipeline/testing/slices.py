"""Where it works and where it does not: the champion by kind of request and group of people."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.testing.measure import Questions
from pipeline.testing.statistics import Bootstrap

Bools = npt.NDArray[np.bool_]
UNKNOWN = "unknown"
MINIMUM_REQUESTS = 30
HISTORY = (0, 10, 30, 100)
BASKET = (1, 4, 11)


def slices_of(questions: Questions, users: pd.DataFrame) -> Iterator[tuple[str, str, Bools]]:
    """Yield kind, name and [n] which requests belong to it.

    Args:
        questions: What was asked.
        users: schemas.USERS: every attribute is a way to group people; null is a group too.
    """
    earlier = questions.examples["n_earlier_baskets"].to_numpy()
    yield from _ranges("earlier baskets", earlier, HISTORY)
    yield from _ranges("basket size", questions.n_true, BASKET)
    weekend = questions.requests.local_weekday >= 5  # noqa: PLR2004  Saturday
    yield "day", "weekend", weekend
    yield "day", "Monday to Friday", ~weekend
    known = users.set_index("user_id")
    for column in known.columns:
        text = known[column].map(str, na_action="ignore").astype(object)  # numbers are groups too
        group = text.reindex(questions.examples["user_id"]).fillna(UNKNOWN).to_numpy()
        for name in sorted(set(group)):
            yield column, str(name), group == name


def _ranges(
    kind: str, values: npt.NDArray[Any], bounds: tuple[int, ...]
) -> Iterator[tuple[str, str, Bools]]:
    for low, high in zip(bounds, [*bounds[1:], None], strict=True):
        inside = (values >= low) & (values < np.inf if high is None else values < high)
        yield kind, f"{low} or more" if high is None else f"{low} to {high - 1}", inside


def slice_table(
    questions: Questions,
    users: pd.DataFrame,
    values: npt.NDArray[np.float64],
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Return one row per slice with enough requests: its mean, interval and gap to the mean."""
    overall = float(np.nanmean(values))
    rows = []
    for kind, name, inside in slices_of(questions, users):
        if inside.sum() < MINIMUM_REQUESTS:
            continue
        value = float(np.nanmean(values[inside]))
        low, high = bootstrap.interval(values, inside)
        gap = (value - overall) / max(overall, 1e-9)
        rows.append([kind, name, int(inside.sum()), value, low, high, gap])
    columns = ["kind", "slice", "n", "value", "low", "high", "gap_fraction"]
    return pd.DataFrame(rows, columns=columns)


def fairness_gap(slices: pd.DataFrame, attributes: list[str], overall: float) -> float:
    """Return how far the worst demographic group lies below the mean, as a fraction of the mean.

    A group counts only when its whole interval lies below the mean: smaller gaps may be chance.

    Args:
        slices: From `slice_table`.
        attributes: Kinds of slices that are groups of people.
        overall: The mean over all requests.
    """
    groups = slices[slices["kind"].isin(attributes)]
    behind = groups[groups["high"] < overall]
    return float(-behind["gap_fraction"].min()) if len(behind) else 0.0

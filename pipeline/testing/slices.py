"""Quality of the champion by kind of request and group of people."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.testing_report import FairnessGap
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.testing.measure import EvaluationSet

Bools = npt.NDArray[np.bool_]
UNKNOWN = "unknown"
# Smaller groups reflect individual users, and resampling few users gives too narrow intervals.
MINIMUM_REQUESTS, MINIMUM_USERS = 30, 10
COLUMNS = ["kind", "slice", "n", "users", "value", "low", "high", "gap_fraction", "against_mean"]
BELOW, ABOVE, CHANCE, FEW = "below", "above", "may be chance", "too few to tell"
RULE = (
    f"the lowest of the groups of people with at least {MINIMUM_REQUESTS} requests by "
    f"{MINIMUM_USERS} users whose whole interval lies below the mean over all requests; where the "
    "interval reaches the mean, the gap may be chance"
)
HISTORY = (0, 10, 30, 100)
BASKET = (1, 4, 11)


def iterate_slices(
    evaluation_set: EvaluationSet, users: pd.DataFrame
) -> Iterator[tuple[str, str, Bools]]:
    """Yield kind, name and [n] the mask of requests of each slice.

    Args:
        evaluation_set: Requests to slice.
        users: schemas.USERS; every attribute groups people, null values form a group too.
    """
    earlier = evaluation_set.examples["n_earlier_baskets"].to_numpy()
    yield from _ranges("earlier baskets", earlier, HISTORY)
    yield from _ranges("basket size", evaluation_set.n_true, BASKET)
    weekend = evaluation_set.requests.local_weekday >= 5  # noqa: PLR2004  Saturday
    yield "day", "weekend", weekend
    yield "day", "Monday to Friday", ~weekend
    known = users.set_index("user_id")
    for column in known.columns:
        text = known[column].map(str, na_action="ignore").astype(object)  # numbers are groups too
        group = text.reindex(evaluation_set.examples["user_id"]).fillna(UNKNOWN).to_numpy()
        for name in sorted(set(group)):
            yield column, str(name), group == name


def _ranges(
    kind: str, values: npt.NDArray[Any], bounds: tuple[int, ...]
) -> Iterator[tuple[str, str, Bools]]:
    for low, high in zip(bounds, [*bounds[1:], None], strict=True):
        inside = (values >= low) & (values < np.inf if high is None else values < high)
        yield kind, f"{low} or more" if high is None else f"{low} to {high - 1}", inside


def build_slice_table(
    evaluation_set: EvaluationSet,
    users: pd.DataFrame,
    values: npt.NDArray[np.float64],
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Return one row per non-empty slice, the one farthest below the mean first.

    Returns:
        COLUMNS: requests, users, mean value with interval, the gap to the mean over all requests
        as a fraction of that mean, and whether the interval lies below or above that mean.
    """
    overall = float(np.nanmean(values))
    rows = []
    for kind, name, inside in iterate_slices(evaluation_set, users):
        known = inside & ~np.isnan(values)
        if not known.any():
            continue
        value, (low, high) = float(values[known].mean()), bootstrap.interval(values, inside)
        n, n_users = int(known.sum()), len(np.unique(bootstrap.user[known]))
        gap = (value - overall) / max(overall, 1e-9)
        place = _against(overall, low, high, is_few=n < MINIMUM_REQUESTS or n_users < MINIMUM_USERS)
        rows.append([kind, name, n, n_users, value, low, high, gap, place])
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["gap_fraction", "kind", "slice"], ignore_index=True)


def _against(overall: float, low: float, high: float, *, is_few: bool) -> str:
    if is_few:
        return FEW
    if high < overall:
        return BELOW
    return ABOVE if low > overall else CHANCE


def describe_fairness(gap: FairnessGap) -> str:
    """Return the gap, the group and the rule in one sentence."""
    if gap.value is None:
        return f"{gap.gap_fraction:.1%}: no group lies below the mean. Rule: {RULE}."
    return (
        f"{gap.gap_fraction:.1%} below the mean, set by {gap.group} with {gap.value:.4f} "
        f"[{gap.low:.4f}, {gap.high:.4f}] in {gap.n:,} requests. Rule: {RULE}."
    )


def compute_fairness(slices: pd.DataFrame, attributes: Sequence[str]) -> FairnessGap:
    """Return the gap between the mean and the worst-served group of people, by RULE.

    Args:
        slices: From `build_slice_table`.
        attributes: Kinds of slices that group people.
    """
    behind = slices[slices["kind"].isin(attributes) & (slices["against_mean"] == BELOW)]
    if behind.empty:
        return FairnessGap(gap_fraction=0.0)
    worst = behind.sort_values("gap_fraction", kind="stable").iloc[0]
    return FairnessGap(
        gap_fraction=-float(worst["gap_fraction"]),
        group=f"{worst['kind']} {worst['slice']}",
        n=int(worst["n"]),
        value=float(worst["value"]),
        low=float(worst["low"]),
        high=float(worst["high"]),
    )

"""Where it works and where it does not: the champion by kind of request and group of people."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.metrics.bootstrap import Bootstrap
from pipeline.testing.measure import EvaluationSet

Bools = npt.NDArray[np.bool_]
UNKNOWN = "unknown"
# What fewer users or requests reach is as much theirs as their group's, and resampling so few
# gives intervals that are too narrow.
MINIMUM_REQUESTS, MINIMUM_USERS = 30, 10
COLUMNS = ["kind", "slice", "n", "users", "value", "low", "high", "gap_fraction", "against_mean"]
BELOW, ABOVE, CHANCE, FEW = "below", "above", "may be chance", "too few to tell"
RULE = (
    f"of the groups of people with at least {MINIMUM_REQUESTS} requests by {MINIMUM_USERS} users "
    "whose whole interval lies below the mean over all requests, the one that lies lowest; where "
    "the interval reaches the mean, the gap may be chance"
)
HISTORY = (0, 10, 30, 100)
BASKET = (1, 4, 11)


def slices_of(questions: EvaluationSet, users: pd.DataFrame) -> Iterator[tuple[str, str, Bools]]:
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
    questions: EvaluationSet,
    users: pd.DataFrame,
    values: npt.NDArray[np.float64],
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Return one row per slice that holds a request, the one farthest below the mean first.

    Returns:
        COLUMNS: n requests of users, their mean value and its interval, the gap to the mean over
        all requests as a fraction of it, and whether the interval lies below or above that mean.
    """
    overall = float(np.nanmean(values))
    rows = []
    for kind, name, inside in slices_of(questions, users):
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


@dataclass(frozen=True)
class Fairness:
    """The gap between the mean and the group of people that is served worst, by RULE.

    Attributes:
        gap_fraction: Of the mean; 0 when no group lies below it.
        group: Kind and name of the group that sets it; "" for none.
        n: Its requests.
        value: Its mean, with `low` and `high` of the interval; None for no group.
    """

    gap_fraction: float
    group: str = ""
    n: int = 0
    value: float | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """Return the gap, the group that sets it and the rule, in one sentence."""
        if self.value is None:
            return f"{self.gap_fraction:.1%}: no group lies below the mean. Rule: {RULE}."
        return (
            f"{self.gap_fraction:.1%} below the mean, set by {self.group} with {self.value:.4f} "
            f"[{self.low:.4f}, {self.high:.4f}] in {self.n:,} requests. Rule: {RULE}."
        )


def fairness_of(slices: pd.DataFrame, attributes: Sequence[str]) -> Fairness:
    """Return the fairness gap.

    Args:
        slices: From `slice_table`.
        attributes: Kinds of slices that are groups of people.
    """
    behind = slices[slices["kind"].isin(attributes) & (slices["against_mean"] == BELOW)]
    if behind.empty:
        return Fairness(0.0)
    worst = behind.sort_values("gap_fraction", kind="stable").iloc[0]
    return Fairness(
        gap_fraction=-float(worst["gap_fraction"]),
        group=f"{worst['kind']} {worst['slice']}",
        n=int(worst["n"]),
        value=float(worst["value"]),
        low=float(worst["low"]),
        high=float(worst["high"]),
    )

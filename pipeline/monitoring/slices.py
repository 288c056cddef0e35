"""Served answers against the live frequency baseline, by slice of requests and of labels.

Slices of requests are stores, groups of users, and new and known users; slices of labels are
departments, and items with and without an offer at the request.

Design choices:

- A slice is behind if the served answers are worse than the baseline on the same requests: by more
  than the allowed loss, significantly, and in both halves of the period. A hard week is no reason.
- Each half is tested one-sided, with errors resampled by user. The p-values of all slices are
  corrected by Holm (1979): it controls the chance of any false warning in a period, and holds for
  slices that overlap.
- Slices only warn.

References:
    Holm, "A simple sequentially rejective multiple test procedure", 1979, jstor.org/stable/4615733.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.verdicts import Evidence
from pipeline.metrics import ranking
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.monitoring.quality import Doubles
from pipeline.recommenders.base.recommender import Recommendations
from pipeline.testing.measure import EvaluationSet

Mask = npt.NDArray[np.bool_]
N_HALVES = 2


class SliceKey(NamedTuple):
    """A slice: what it divides by, such as `store`, and its value."""

    dimension: str
    value: str


@dataclass(frozen=True)
class SliceQuality:
    """Quality of one slice.

    Attributes:
        key: The slice.
        n_requests: Requests with labels in it.
        value: Quality of the served answers.
        interval: Its interval.
        baseline: Quality of the live frequency baseline on the same requests.
        p_values: Of each half of the period, corrected: that the baseline is not better.
        is_behind: Whether the served answers are worse than the baseline.
    """

    key: SliceKey
    n_requests: int
    value: float
    interval: tuple[float, float]
    baseline: float
    p_values: tuple[float, ...]
    is_behind: bool

    @property
    def lead(self) -> float:
        """The lead of the served answers over the baseline."""
        return self.value - self.baseline


@dataclass(frozen=True)
class SliceInputs:
    """Requests with the answers of both methods.

    Attributes:
        evaluation_set: The requests.
        served: The served answers.
        baseline: The answers of the baseline.
        bootstrap: Bootstrap over the users of these requests.
        is_late: [n] whether each request is in the second half of the period.
        k: Length of the lists.
    """

    evaluation_set: EvaluationSet
    served: Recommendations
    baseline: Recommendations
    bootstrap: Bootstrap
    is_late: Mask
    k: int

    def recall(self, answers: Recommendations, labels: Mask) -> Doubles:
        """Return [n] recall of some labels; NaN without any.

        Args:
            answers: Lists of all requests.
            labels: [n_labels] mask of labels.
        """
        row = self.evaluation_set.label_row[labels]
        hits = ranking.hit_matrix(answers.items, row, self.evaluation_set.label_item[labels])
        n_true = np.bincount(row, minlength=len(self.evaluation_set.examples))
        return ranking.recall_at_k(hits, n_true, self.k)


def correct(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected by Holm.

    >>> correct([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(n, 0, -1)
    raised = np.minimum(np.maximum.accumulate(np.array(p_values)[order] * factors), 1.0)
    corrected = np.empty(n)
    corrected[order] = raised
    return [float(value) for value in corrected]


def request_slices(
    examples: pd.DataFrame, users: pd.DataFrame, minimum_earlier_baskets: int
) -> Iterator[tuple[SliceKey, Mask]]:
    """Yield slices of requests, each with [n] mask.

    Args:
        examples: schemas.EXAMPLES of the requests.
        users: schemas.USERS; every attribute makes groups, users without one are in none.
        minimum_earlier_baskets: A user with fewer is new.
    """
    if "n_earlier_baskets" in examples:
        is_new = np.asarray(examples["n_earlier_baskets"] < minimum_earlier_baskets, dtype=bool)
        yield SliceKey("users", "new"), is_new
        yield SliceKey("users", "known"), ~is_new
    if "store_id" in examples:
        yield from _by_value("store", examples["store_id"])
    described = users.drop_duplicates("user_id").set_index("user_id")
    for name in described.columns:
        yield from _by_value(str(name), examples["user_id"].map(described[name]))


def label_slices(
    evaluation_set: EvaluationSet, items: pd.DataFrame | None, offers: pd.DataFrame | None
) -> Iterator[tuple[SliceKey, Mask]]:
    """Yield slices of labels, each with [n_labels] mask.

    Args:
        evaluation_set: The requests.
        items: schemas.ITEMS with departments; None without any.
        offers: item_id, starts and ends; None without any.
    """
    labels = pd.Series(
        [item for row in evaluation_set.examples["labels"] for item in row], dtype=object
    )
    if items is not None:
        departments = items.drop_duplicates("item_id").set_index("item_id")["department"]
        yield from _by_value("department", labels.map(departments))
    if offers is not None and len(offers):
        moments = evaluation_set.examples["timestamp"].iloc[evaluation_set.label_row]
        is_offered = _is_offered(labels, moments.reset_index(drop=True), offers)
        yield SliceKey("offer", "on"), is_offered
        yield SliceKey("offer", "off"), ~is_offered


def measure_slices(
    inputs: SliceInputs,
    requests: Iterator[tuple[SliceKey, Mask]],
    labels: Iterator[tuple[SliceKey, Mask]],
    *,
    minimum_users: int,
    maximum_loss_fraction: float,
) -> tuple[SliceQuality, ...]:
    """Return each slice with enough users in both halves of the period, but not of everything.

    Args:
        inputs: Requests with the answers of both methods.
        requests: Slices of requests.
        labels: Slices of labels.
        minimum_users: Minimum number of users with labels, in each half.
        maximum_loss_fraction: Allowed loss, relative to the baseline.
    """
    everything = np.ones(len(inputs.evaluation_set.label_row), dtype=bool)
    ours, theirs = (inputs.recall(lists, everything) for lists in (inputs.served, inputs.baseline))
    values: list[tuple[SliceKey, Doubles, Doubles]] = [
        (key, np.where(mask, ours, np.nan), np.where(mask, theirs, np.nan))
        for key, mask in requests
        if not mask.all()
    ]
    values += [
        (key, inputs.recall(inputs.served, mask), inputs.recall(inputs.baseline, mask))
        for key, mask in labels
        if not mask.all()
    ]
    tested = [value for value in values if _has_users(value[1], inputs, minimum_users)]
    halves = [
        correct([_p_value(one - other, half, inputs.bootstrap) for _, one, other in tested])
        for half in (~inputs.is_late, inputs.is_late)
    ]
    significance = 1 - inputs.bootstrap.confidence
    slices = []
    for (key, one, other), *p_values in zip(tested, *halves, strict=True):
        value, baseline = float(np.nanmean(one)), float(np.nanmean(other))
        low, high = inputs.bootstrap.interval(one)
        is_large = value < (1 - maximum_loss_fraction) * baseline
        slices.append(
            SliceQuality(
                key=key,
                n_requests=int((~np.isnan(one)).sum()),
                value=value,
                interval=(low, high),
                baseline=baseline,
                p_values=tuple(p_values),
                is_behind=is_large and max(p_values) <= significance,
            )
        )
    return tuple(slices)


def slice_evidence(slices: Sequence[SliceQuality]) -> tuple[Evidence, ...]:
    """Return how many slices are behind the live frequency baseline; they warn."""
    if not slices:
        return ()
    behind = [part for part in slices if part.is_behind]
    names = "".join(
        f"; {part.key.dimension} {part.key.value}: {part.value:.4f}, frequency {part.baseline:.4f}"
        for part in sorted(behind, key=lambda part: part.lead)
    )
    return (
        Evidence(
            name="slices_behind",
            value=float(len(behind)),
            bound=0.0,
            holds=not behind,
            gates=False,
            note=f"of {len(slices)} slices, in which served answers are worse than live "
            f"frequency in both halves of the period (corrected by Holm){names}",
        ),
    )


def as_metrics(slices: Sequence[SliceQuality]) -> list[dict[str, Any]]:
    """Return the JSON value for metrics.json."""
    return [
        {
            "dimension": part.key.dimension,
            "value": part.key.value,
            "n_requests": part.n_requests,
            "quality": part.value,
            "interval": list(part.interval),
            "baseline": part.baseline,
            "p_values": list(part.p_values),
            "is_behind": part.is_behind,
        }
        for part in slices
    ]


def _by_value(dimension: str, values: pd.Series) -> Iterator[tuple[SliceKey, Mask]]:
    for value in sorted(values.dropna().astype(str).unique()):
        yield SliceKey(dimension, value), np.asarray(values.astype(str) == value, dtype=bool)


def _is_offered(labels: pd.Series, moments: pd.Series, offers: pd.DataFrame) -> Mask:
    """Return [n_labels] whether each item had an offer at its request."""
    is_near = (offers["starts"] <= moments.max()) & (offers["ends"] > moments.min())
    near = offers.loc[is_near & offers["item_id"].isin(labels), ["item_id", "starts", "ends"]]
    asked = pd.DataFrame({"item_id": labels, "at": moments}).rename_axis("label").reset_index()
    pairs = asked.merge(near.drop_duplicates(), on="item_id")
    is_on = (pairs["starts"] <= pairs["at"]) & (pairs["at"] < pairs["ends"])
    offered = np.zeros(len(labels), dtype=bool)
    offered[pairs.loc[is_on, "label"].to_numpy()] = True
    return offered


def _has_users(values: Doubles, inputs: SliceInputs, minimum: int) -> bool:
    known = ~np.isnan(values)
    halves = (known & ~inputs.is_late, known & inputs.is_late)
    return all(len(np.unique(inputs.bootstrap.user[half])) >= minimum for half in halves)


def _p_value(difference: Doubles, half: Mask, bootstrap: Bootstrap) -> float:
    """Return the one-sided p-value that the mean difference is not below 0."""
    error = bootstrap.standard_error(difference, half)
    mean = float(np.nanmean(difference[half]))
    if error == 0.0:
        return 0.0 if mean < 0 else 1.0
    return NormalDist().cdf(mean / error)

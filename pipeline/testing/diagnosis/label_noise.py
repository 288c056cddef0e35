"""Label noise: unseen labels on candidates that the model is surest were not bought.

The candidates of a request are ordered by the model's probability. Real purchases gather at the
top; erroneous labels are uniform. Labels among the least probable candidates are therefore mostly
errors: their number is the number expected by chance times the share of errors. The estimate of
that share is an upper bound, because it includes rare real purchases. A calibrated model also
predicts the number of labels there; the excess is noise that it did not learn.

References:
    Northcutt, Jiang and Chuang, 2021, "Confident learning", arXiv:1911.00068.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.params import DiagnosisParams
from pipeline.testing.diagnosis.finding import Finding, at_most, healthy, unknown
from pipeline.testing.diagnosis.intervals import Doubles, Whole, interval

NAME = "label_noise"
MINIMUM_LABELS = 200
MINIMUM_GROUP = 500


@dataclass(frozen=True)
class ScoredCandidates:
    """Candidates of unseen requests with the model's probabilities, ordered by request.

    Attributes:
        user: [n] code of each request's user.
        row: [n_pairs] request, ascending.
        item: [n_pairs] item index.
        probability: [n_pairs] listwise softmax of the model; sums to 1 per request.
        wanted: [n_pairs] whether the candidate is a label.
    """

    user: Whole
    row: Whole
    item: Whole
    probability: Doubles
    wanted: npt.NDArray[np.bool_]

    @property
    def n(self) -> int:
        """Number of requests."""
        return len(self.user)

    def per_request(self, values: Doubles | npt.NDArray[np.bool_]) -> Doubles:
        """Return [n] sums over the candidates of each request."""
        sums = np.bincount(self.row, weights=values.astype(np.float64), minlength=self.n)
        return sums.astype(np.float64)


@dataclass(frozen=True)
class LabelContradictions:
    """Labels among the least probable candidates, per request.

    Attributes:
        surest: [n_pairs] whether the candidate is among the least probable of its request.
        observed: [n] labels among these candidates.
        by_chance: [n] labels among these candidates if all labels were errors.
        expected: [n] labels among these candidates according to the model.
    """

    surest: npt.NDArray[np.bool_]
    observed: Doubles
    by_chance: Doubles
    expected: Doubles


def find_contradictions(scored: ScoredCandidates, surest_fraction: float) -> LabelContradictions:
    """Return the labels among the `surest_fraction` least probable candidates of each request."""
    order = np.lexsort((scored.item, scored.probability, scored.row))
    first = np.searchsorted(scored.row, np.arange(scored.n))
    size = np.bincount(scored.row, minlength=scored.n)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - first[scored.row[order]]
    surest = place < np.floor(surest_fraction * size)[scored.row]
    n_labels = scored.per_request(scored.wanted)
    share = scored.per_request(surest) / np.maximum(size, 1)
    return LabelContradictions(
        surest=surest,
        observed=scored.per_request(scored.wanted & surest),
        by_chance=n_labels * share,
        expected=n_labels * scored.per_request(scored.probability * surest),
    )


def check_label_noise(scored: ScoredCandidates, params: DiagnosisParams) -> Finding:
    """Return whether the share of erroneous labels exceeds the bound."""
    n_labels = int(scored.wanted.sum())
    contradictions = find_contradictions(scored, params.surest_fraction)
    if n_labels < MINIMUM_LABELS or not contradictions.by_chance.any():
        return unknown(NAME, f"{n_labels} labels on candidates are too few to decide.")
    noise, low, high = _ratio(scored, contradictions.observed, contradictions.by_chance)
    excess = float((contradictions.observed.sum() - contradictions.expected.sum()) / n_labels)
    bound = params.maximum_label_noise_fraction
    evidence = (
        at_most(
            "noise_fraction", noise, bound,
            f"upper estimate of the share of errors; interval {low:.3f} to {high:.3f}",
        ),
        at_most(
            "confidently_wrong_fraction", float(contradictions.observed.sum() / n_labels),
            float(contradictions.expected.sum() / n_labels) + bound * params.surest_fraction,
            "of labels on its least probable candidates; the bound is its own expectation plus "
            f"the allowed noise; {excess:+.4f} beyond its expectation",
        ),
    )  # fmt: skip
    if noise <= bound:
        return healthy(NAME, evidence, "Labels hardly contradict the model.")
    if low <= bound / 2:
        return unknown(NAME, "The labels that contradict the model may be chance.", evidence)
    return Finding(
        NAME, "suspected", evidence,
        f"About {noise:.0%} of the labels look like errors: they are on products that the model is "
        "sure were not bought.",
        "labeling", "Review the labels in reports/testing/suspicious_labels.csv, write decisions "
        "to data/reviewed/labels.csv, and look for their common cause.",
    )  # fmt: skip


def _ratio(scored: ScoredCandidates, top: Doubles, bottom: Doubles) -> tuple[float, float, float]:
    """Return the ratio of two sums over requests, and its interval over users."""
    codes = np.unique(scored.user, return_inverse=True)[1]
    n_users = int(codes.max(initial=0)) + 1
    above = np.bincount(codes, weights=top, minlength=n_users)
    below = np.bincount(codes, weights=bottom, minlength=n_users)
    low, high = interval(n_users, lambda drawn: (drawn @ above) / np.maximum(drawn @ below, 1e-9))
    return float(top.sum() / max(bottom.sum(), 1e-9)), low, high


def estimate_noise_by_group(
    scored: ScoredCandidates, groups: dict[str, npt.NDArray[np.object_]], surest_fraction: float
) -> pd.DataFrame:
    """Return kind, group, labels and estimated noise of every group with enough labels.

    Args:
        scored: Candidates with probabilities and labels.
        groups: [n_pairs] name of each candidate's group, by kind.
        surest_fraction: Share of candidates per request, as in `find_contradictions`.
    """
    rows = list(_group_rows(scored, groups, find_contradictions(scored, surest_fraction).surest))
    table = pd.DataFrame(rows, columns=["kind", "group", "labels", "noise_fraction"])
    return table.sort_values(
        ["noise_fraction", "kind", "group"], ascending=[False, True, True], ignore_index=True
    )


def _group_rows(
    scored: ScoredCandidates,
    groups: dict[str, npt.NDArray[np.object_]],
    surest: npt.NDArray[np.bool_],
) -> Iterator[tuple[str, str, int, float]]:
    """Yield kind, group, labels and estimated noise of each large group."""
    for kind, names in groups.items():
        frame = pd.DataFrame({"group": names, "wanted": scored.wanted, "surest": surest})
        for name, part in frame.groupby("group", sort=True):
            n_labels = int(part["wanted"].sum())
            by_chance = n_labels * part["surest"].mean()
            if n_labels >= MINIMUM_GROUP and by_chance > 0:
                n_contradicted = int((part["wanted"] & part["surest"]).sum())
                yield kind, str(name), n_labels, n_contradicted / by_chance


def find_suspicious(scored: ScoredCandidates, n_shown: int) -> npt.NDArray[np.int64]:
    """Return the positions of the most suspicious labels, most suspicious first.

    The criterion is the probability times the number of candidates of the request, ascending.
    """
    size = np.bincount(scored.row, minlength=scored.n)[scored.row]
    at = np.flatnonzero(scored.wanted)
    against_chance = scored.probability[at] * size[at]
    return at[np.lexsort((scored.item[at], scored.row[at], against_chance))[:n_shown]]

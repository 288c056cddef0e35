"""Label noise: labels that a model, which never saw them, is surest are wrong.

A shopper's candidates are ordered by the model's probability. Real purchases gather at the top; a
label that is an error falls anywhere. So among the candidates that the model is surest were not
bought, errors are most of what is left: as many labels as pure chance would put there, times the
share of labels that are errors. That share is an upper estimate, since rare real purchases count
too. A calibrated model says how many labels it expects there; more than that is noise which it did
not learn from.

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
class Judged:
    """Candidates of requests that the model did not learn from, request by request.

    Attributes:
        user: [n] code of each request's user.
        row: [n_pairs] request, ascending.
        item: [n_pairs] item index.
        probability: [n_pairs] listwise softmax of the model, adding up to 1 per request.
        wanted: [n_pairs] whether the labels say that it was bought.
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
        """Return sums over the candidates of each request."""
        sums = np.bincount(self.row, weights=values.astype(np.float64), minlength=self.n)
        return sums.astype(np.float64)


@dataclass(frozen=True)
class Contradicted:
    """Labels against the model, request by request.

    Attributes:
        surest: [n_pairs] whether it is among the request's candidates surest not to be bought.
        found: [n] labels there.
        by_chance: [n] labels that would be there if all labels were errors.
        expected: [n] labels that the model itself expects there.
    """

    surest: npt.NDArray[np.bool_]
    found: Doubles
    by_chance: Doubles
    expected: Doubles


def contradicted(judged: Judged, surest_fraction: float) -> Contradicted:
    """Return the labels among the `surest_fraction` least probable candidates of each request."""
    order = np.lexsort((judged.item, judged.probability, judged.row))
    first = np.searchsorted(judged.row, np.arange(judged.n))
    size = np.bincount(judged.row, minlength=judged.n)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - first[judged.row[order]]
    surest = place < np.floor(surest_fraction * size)[judged.row]
    n_labels = judged.per_request(judged.wanted)
    share = judged.per_request(surest) / np.maximum(size, 1)
    return Contradicted(
        surest=surest,
        found=judged.per_request(judged.wanted & surest),
        by_chance=n_labels * share,
        expected=n_labels * judged.per_request(judged.probability * surest),
    )


def label_noise(judged: Judged, params: DiagnosisParams) -> Finding:
    """Return whether more labels are errors than the bound allows."""
    n_labels = int(judged.wanted.sum())
    seen = contradicted(judged, params.surest_fraction)
    if n_labels < MINIMUM_LABELS or not seen.by_chance.any():
        return unknown(NAME, f"{n_labels} labels on candidates are too few to tell.")
    noise, low, high = _ratio(judged, seen.found, seen.by_chance)
    excess = float((seen.found.sum() - seen.expected.sum()) / n_labels)
    bound = params.maximum_label_noise_fraction
    evidence = (
        at_most(
            "noise_fraction", noise, bound,
            f"share of labels that behave like errors, at most; interval {low:.3f} to {high:.3f}",
        ),
        at_most(
            "confidently_wrong_fraction", float(seen.found.sum() / n_labels),
            float(seen.expected.sum() / n_labels) + bound * params.surest_fraction,
            "of labels on the candidates that it is surest were not bought; the bound is what it "
            f"expects there itself and the noise that is allowed; {excess:+.4f} beyond its own "
            "expectation",
        ),
    )  # fmt: skip
    if noise <= bound:
        return healthy(NAME, evidence, "Labels hardly contradict what the model is sure of.")
    if low <= bound / 2:
        return unknown(NAME, "The labels that contradict it may be chance.", evidence)
    return Finding(
        NAME, "suspected", evidence,
        f"About {noise:.0%} of the labels look like errors: they are on products that the model is "
        "sure were not bought.",
        "labeling", "Review the labels in reports/testing/suspicious_labels.csv, put decisions "
        "into data/reviewed/labels.csv, and look for what they have in common.",
    )  # fmt: skip


def _ratio(judged: Judged, top: Doubles, bottom: Doubles) -> tuple[float, float, float]:
    """Return the ratio of two sums over requests, and its interval over users."""
    codes = np.unique(judged.user, return_inverse=True)[1]
    n_users = int(codes.max(initial=0)) + 1
    above = np.bincount(codes, weights=top, minlength=n_users)
    below = np.bincount(codes, weights=bottom, minlength=n_users)
    low, high = interval(n_users, lambda drawn: (drawn @ above) / np.maximum(drawn @ below, 1e-9))
    return float(top.sum() / max(bottom.sum(), 1e-9)), low, high


def noise_by_group(
    judged: Judged, groups: dict[str, npt.NDArray[np.object_]], surest_fraction: float
) -> pd.DataFrame:
    """Return kind, group, labels and estimated noise of every group with enough labels.

    Args:
        judged: The candidates.
        groups: Per kind, [n_pairs] the name of each candidate's group.
        surest_fraction: As in `contradicted`.
    """
    rows = list(_group_rows(judged, groups, contradicted(judged, surest_fraction).surest))
    table = pd.DataFrame(rows, columns=["kind", "group", "labels", "noise_fraction"])
    return table.sort_values(
        ["noise_fraction", "kind", "group"], ascending=[False, True, True], ignore_index=True
    )


def _group_rows(
    judged: Judged, groups: dict[str, npt.NDArray[np.object_]], surest: npt.NDArray[np.bool_]
) -> Iterator[tuple[str, str, int, float]]:
    """Yield each group; chance puts labels on its candidates as often as on any other."""
    for kind, names in groups.items():
        frame = pd.DataFrame({"group": names, "wanted": judged.wanted, "surest": surest})
        for name, part in frame.groupby("group", sort=True):
            n_labels = int(part["wanted"].sum())
            by_chance = n_labels * part["surest"].mean()
            if n_labels >= MINIMUM_GROUP and by_chance > 0:
                found = int((part["wanted"] & part["surest"]).sum())
                yield kind, str(name), n_labels, found / by_chance


def suspicious(judged: Judged, n_shown: int) -> npt.NDArray[np.int64]:
    """Return the positions of the labels that the model finds least likely against a blind guess.

    The first is the most suspicious: its probability times the number of candidates is smallest.
    """
    size = np.bincount(judged.row, minlength=judged.n)[judged.row]
    at = np.flatnonzero(judged.wanted)
    against_chance = judged.probability[at] * size[at]
    return at[np.lexsort((judged.item[at], judged.row[at], against_chance))[:n_shown]]

"""Leak: does the model know what it cannot know when it is asked?

Three looks. A feature that alone separates what was bought much better than all features of other
kinds is suspicious (Kaufman et al., 2012, doi:10.1145/2382577.2382579). Answers must not change
when everything after the request is altered. And against labels that are permuted among each
request's candidates, any honest ranking is worth what chance is worth.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.diagnosis.finding import Finding, at_most, healthy, unknown
from pipeline.diagnosis.intervals import interval, weighted_mean
from pipeline.diagnosis.label_noise import Judged
from pipeline.params import DiagnosisParams
from pipeline.verdicts import Evidence

NAME = "leak"
K = 10
SEED = 23
SAME_STATE = 1e-5


@dataclass(frozen=True)
class Replayed:
    """The same requests answered twice, the second time with another future.

    Attributes:
        items: [n, k] item index of the answers.
        scores: [n, k].
        items_after: [n, k] with all purchases after each request altered.
        scores_after: [n, k].
    """

    items: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    items_after: npt.NDArray[np.int32]
    scores_after: npt.NDArray[np.float32]

    @property
    def changed_fraction(self) -> float:
        """Share of requests whose answer changed at all."""
        same = (self.items == self.items_after) & (self.scores == self.scores_after)
        return float((~same.all(axis=1)).mean())


@dataclass(frozen=True)
class Clues:
    """Where a leak can show; what is None or empty was not measured.

    Attributes:
        aucs: Area under the curve of each feature alone.
        groups: Names of the features by kind.
        replayed: From the future shuffle.
        state_difference: How far the saved item state is from what was known at its cut-off.
        judged: Candidates with the model's probabilities.
    """

    aucs: Mapping[str, float]
    groups: Mapping[str, tuple[str, ...]]
    replayed: Replayed | None = None
    state_difference: float | None = None
    judged: Judged | None = None


SAYS = {
    "future_shuffle": "answers depend on purchases that come after the request",
    "item_state": "the saved item state is not what was known at its cut-off",
    "strongest_feature": "one feature alone gives the labels away",
    "permuted_labels": "it ranks permuted labels better than chance can",
}


def leak(clues: Clues, params: DiagnosisParams) -> Finding:
    """Return whether anything of the future reaches the model."""
    evidence = tuple(_evidence(clues, params))
    if not evidence:
        return unknown(NAME, "Nothing was measured that could show one.")
    broken = [item.name for item in evidence if not item.holds]
    if not broken:
        return healthy(NAME, evidence, "Nothing of the future reaches the model.")
    return Finding(
        NAME,
        "suspected",
        evidence,
        f"The future seems to leak: {'; '.join(SAYS[name] for name in broken)}.",
        "collection" if broken == ["strongest_feature"] else "labeling",
        "Find what is known too early: cut-offs and windows of the examples (labeling), columns "
        "that are filled in after the purchase (collection). Nothing may be deployed before.",
    )


def _evidence(clues: Clues, params: DiagnosisParams) -> Iterator[Evidence]:
    if clues.replayed is not None:
        yield at_most(
            "future_shuffle",
            clues.replayed.changed_fraction,
            0.0,
            f"share of {len(clues.replayed.items)} answers that changed when all purchases after "
            "the request were altered",
        )
    if clues.state_difference is not None:
        yield at_most(
            "item_state",
            clues.state_difference,
            SAME_STATE,
            "largest difference to the state worked out from the purchases before its cut-off",
        )
    if clues.aucs:
        yield strongest_feature(clues.aucs, clues.groups, params)
    if clues.judged is not None and clues.judged.wanted.any():
        yield permuted_labels(clues.judged)


def strongest_feature(
    aucs: Mapping[str, float], groups: Mapping[str, tuple[str, ...]], params: DiagnosisParams
) -> Evidence:
    """Return whether one kind of features halves the error of every other kind.

    Args:
        aucs: Area under the curve of each feature alone, within requests, 0.5..1.
        groups: Names of the features by kind; a feature in none is a kind of its own.
        params: The largest area that a single feature may have.
    """
    kind = {name: group for group, names in groups.items() for name in names}
    best = max(aucs, key=lambda name: aucs[name])
    others = [value for name, value in aucs.items() if kind.get(name) != kind.get(best, best)]
    rival = max(others, default=0.5)
    bound = min(1 - (1 - rival) / 2, params.maximum_feature_auc)
    return at_most(
        "strongest_feature", aucs[best], bound,
        f"area under the curve of '{best}' alone; the best of another kind has {rival:.3f}, and "
        "the bound halves its error",
    )  # fmt: skip


def permuted_labels(judged: Judged) -> Evidence:
    """Return whether the model's order of candidates finds permuted labels by chance only."""
    random = np.random.default_rng(SEED)
    order = np.lexsort((random.random(len(judged.row)), judged.row))
    permuted = judged.wanted[order]
    ranked = np.lexsort((judged.item, -judged.probability, judged.row))
    first = np.searchsorted(judged.row, np.arange(judged.n))
    row = judged.row[ranked]
    top = np.arange(len(row)) - first[row] < K
    hits = np.bincount(row[top], weights=permuted[ranked][top].astype(float), minlength=judged.n)
    size = np.bincount(judged.row, minlength=judged.n)
    n_labels = judged.per_request(judged.wanted)
    there = n_labels > 0
    beyond = hits[there] / n_labels[there] - np.minimum(K / size[there], 1.0)
    codes = np.unique(judged.user[there], return_inverse=True)[1]
    n_users = int(codes.max(initial=0)) + 1
    low, high = interval(n_users, weighted_mean(beyond, codes, n_users))
    return at_most(
        "permuted_labels", low, 0.0,
        f"lower end of recall@{K} beyond chance on labels permuted within each request: "
        f"{beyond.mean():+.4f}, interval {low:+.4f} to {high:+.4f}",
    )  # fmt: skip

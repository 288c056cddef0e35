"""Leak: does the model know what it cannot know when it is asked?

Two looks. What a request and the items are made of must not change when the future is withheld;
what is compared is what the model is fed, not what it makes of it (`pipeline.testing.foresight`).
And a feature that alone separates what was bought much better than all features of other kinds is
suspicious (Kaufman et al., 2012, doi:10.1145/2382577.2382579): that shows a label that came in
through a column without a date, which no withholding takes away.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.contracts.params import DiagnosisParams
from pipeline.contracts.verdicts import Evidence
from pipeline.testing.diagnosis.finding import Finding, at_most, healthy, unknown

NAME = "leak"
SAME_STATE = 1e-5

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Foresight:
    """What the future changes in what the model is fed.

    Attributes:
        changed: [n] whether a request's inputs change when its labels are others and everything
            from it on is withheld.
        foreign: [n_known] whether a request knows another moment, store or cart than its own
            visit's; those whose basket could be looked up.
        state_difference: How far item state is from what was known at its cut-off, at most.
        n_early_items: Items that the model knows and that had not sold before its cut-off.
    """

    changed: Bools
    foreign: Bools
    state_difference: float
    n_early_items: int


@dataclass(frozen=True)
class Clues:
    """Where a leak can show; what is None or empty was not measured.

    Attributes:
        aucs: Area under the curve of each feature alone.
        groups: Names of the features by kind.
        foresight: What the future changes.
    """

    aucs: Mapping[str, float]
    groups: Mapping[str, tuple[str, ...]]
    foresight: Foresight | None = None


SAYS = {
    "future_in_request": "requests hold what comes after them",
    "request_context": "requests know the moment, store or cart of another visit",
    "item_state": "item state is not what was known at its cut-off",
    "early_items": "it knows items that had not sold at its cut-off",
    "strongest_feature": "one kind of features alone gives the labels away",
}


def leak(clues: Clues, params: DiagnosisParams) -> Finding:
    """Return whether anything of the future reaches the model."""
    evidence = tuple(_evidence(clues, params))
    broken = [item.name for item in evidence if not item.holds]
    if not broken and clues.foresight is None:
        return unknown(NAME, "No request was built without its future.", evidence)
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
    if clues.foresight is not None:
        yield from _of_foresight(clues.foresight)
    if clues.aucs:
        yield strongest_feature(clues.aucs, clues.groups, params)


def _of_foresight(found: Foresight) -> Iterator[Evidence]:
    yield at_most(
        "future_in_request",
        float(found.changed.mean()),
        0.0,
        f"share of {len(found.changed)} requests whose inputs change when their labels are others "
        "and everything from the request on is withheld",
    )
    if len(found.foreign):
        yield at_most(
            "request_context",
            float(found.foreign.mean()),
            0.0,
            f"share of {len(found.foreign)} requests with a moment, store or cart that is not that "
            "of their own visit",
        )
    yield at_most(
        "item_state",
        found.state_difference,
        SAME_STATE,
        "largest difference to the state worked out from the purchases before its cut-off alone",
    )
    yield at_most(
        "early_items",
        found.n_early_items,
        0,
        "items that the model knows and that had not sold before its cut-off",
    )


def strongest_feature(
    aucs: Mapping[str, float], groups: Mapping[str, tuple[str, ...]], params: DiagnosisParams
) -> Evidence:
    """Return whether one or two kinds of features halve the error of every other kind.

    Two, because a label that came in through two columns would hide behind itself.

    Args:
        aucs: Area under the curve of each feature alone, within requests, 0.5..1.
        groups: Names of the features by kind; a feature in none is a kind of its own.
        params: The largest area that a single feature may have.
    """
    kind = {name: group for group, names in groups.items() for name in names}
    best: dict[str, str] = {}
    for name in sorted(aucs, key=lambda name: (-aucs[name], name)):
        best.setdefault(kind.get(name, name), name)
    ranked = [*best.values()]
    looks = [
        _alone(aucs, ranked[place:], params) for place in range(max(min(2, len(ranked) - 1), 1))
    ]
    return next((look for look in looks if not look.holds), looks[0])


def _alone(aucs: Mapping[str, float], ranked: list[str], params: DiagnosisParams) -> Evidence:
    """Return whether the first of the features is better than half the error of the next."""
    rival = aucs[ranked[1]] if len(ranked) > 1 else 0.5
    bound = min(1 - (1 - rival) / 2, params.maximum_feature_auc)
    return at_most(
        "strongest_feature", aucs[ranked[0]], bound,
        f"area under the curve of '{ranked[0]}' alone; the best of another kind has {rival:.3f}, "
        "and the bound halves its error",
    )  # fmt: skip

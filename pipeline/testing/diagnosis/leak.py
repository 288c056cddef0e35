"""Leak: does the model use information from after the request?

Two checks. The inputs of the model must not change if the future is withheld
(`pipeline.testing.lookahead`). And no feature alone may separate the labels much better than all
features of other kinds (Kaufman et al., 2012, doi:10.1145/2382577.2382579), which reveals a label
that leaks through an undated column.
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
class LookAhead:
    """Changes of the model's inputs if the future is withheld.

    Attributes:
        changed: [n] whether a request's inputs change with other labels and without events from
            the request on.
        foreign: [n_known] whether a request has the moment, store or cart of another visit; only
            requests whose basket is known.
        state_difference: Largest difference of item state from the state known at its cut-off.
        n_early_items: Items of the model's vocabulary that were not sold before its cut-off.
    """

    changed: Bools
    foreign: Bools
    state_difference: float
    n_early_items: int


@dataclass(frozen=True)
class LeakInputs:
    """Inputs of the leak check; None or empty means not measured.

    Attributes:
        aucs: Area under the curve of each feature alone.
        groups: Names of the features by kind.
        look_ahead: Changes of the inputs if the future is withheld.
    """

    aucs: Mapping[str, float]
    groups: Mapping[str, tuple[str, ...]]
    look_ahead: LookAhead | None = None


SAYS = {
    "future_in_request": "requests contain later events",
    "request_context": "requests contain the moment, store or cart of another visit",
    "item_state": "item state differs from the state known at its cut-off",
    "early_items": "the vocabulary has items not sold before its cut-off",
    "strongest_feature": "one kind of features alone reveals the labels",
}


def check_leak(clues: LeakInputs, params: DiagnosisParams) -> Finding:
    """Return whether information from the future reaches the model."""
    evidence = tuple(_evidence(clues, params))
    broken = [item.name for item in evidence if not item.holds]
    if not broken and clues.look_ahead is None:
        return unknown(NAME, "The look-ahead check did not run.", evidence)
    if not broken:
        return healthy(NAME, evidence, "No information from the future reaches the model.")
    return Finding(
        NAME,
        "suspected",
        evidence,
        f"The future seems to leak: {'; '.join(SAYS[name] for name in broken)}.",
        "collection" if broken == ["strongest_feature"] else "labeling",
        "Check the cut-offs and windows of the examples (labeling) and the columns that are filled "
        "in after the purchase (collection). Deploy nothing before this is fixed.",
    )


def _evidence(clues: LeakInputs, params: DiagnosisParams) -> Iterator[Evidence]:
    if clues.look_ahead is not None:
        yield from _look_ahead_evidence(clues.look_ahead)
    if clues.aucs:
        yield strongest_feature(clues.aucs, clues.groups, params)


def _look_ahead_evidence(look_ahead: LookAhead) -> Iterator[Evidence]:
    yield at_most(
        "future_in_request",
        float(look_ahead.changed.mean()),
        0.0,
        f"share of {len(look_ahead.changed)} requests whose inputs change with other labels and "
        "without events from the request on",
    )
    if len(look_ahead.foreign):
        yield at_most(
            "request_context",
            float(look_ahead.foreign.mean()),
            0.0,
            f"share of {len(look_ahead.foreign)} requests with the moment, store or cart of "
            "another visit",
        )
    yield at_most(
        "item_state",
        look_ahead.state_difference,
        SAME_STATE,
        "largest difference from the state computed from the purchases before its cut-off",
    )
    yield at_most(
        "early_items",
        look_ahead.n_early_items,
        0,
        "items in the vocabulary that were not sold before its cut-off",
    )


def strongest_feature(
    aucs: Mapping[str, float], groups: Mapping[str, tuple[str, ...]], params: DiagnosisParams
) -> Evidence:
    """Return whether one or two kinds of features halve the error of every other kind.

    Two kinds, because a label that leaks through two columns would otherwise hide itself.

    Args:
        aucs: Area under the curve of each feature alone, within requests, 0.5..1.
        groups: Names of the features by kind; a feature without a kind forms its own.
        params: Largest area that a single feature may have.
    """
    kind = {name: group for group, names in groups.items() for name in names}
    best: dict[str, str] = {}
    for name in sorted(aucs, key=lambda name: (-aucs[name], name)):
        best.setdefault(kind.get(name, name), name)
    ranked = [*best.values()]
    evidence = [
        _compare_with_next(aucs, ranked[place:], params)
        for place in range(max(min(2, len(ranked) - 1), 1))
    ]
    return next((item for item in evidence if not item.holds), evidence[0])


def _compare_with_next(
    aucs: Mapping[str, float], ranked: list[str], params: DiagnosisParams
) -> Evidence:
    """Return whether the first feature has at least half the error of the second."""
    rival = aucs[ranked[1]] if len(ranked) > 1 else 0.5
    bound = min(1 - (1 - rival) / 2, params.maximum_feature_auc)
    return at_most(
        "strongest_feature", aucs[ranked[0]], bound,
        f"area under the curve of '{ranked[0]}' alone; the best feature of another kind has "
        f"{rival:.3f}, and the bound halves its error",
    )  # fmt: skip

"""The diagnosis: measure every cause, undo the suspects on a copy, and keep what explains most.

A window may have several causes. After the best one is undone, the rest is examined again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.monitoring.diagnosis.case import Case
from pipeline.monitoring.diagnosis.catalogue import CATALOGUE
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion

MAXIMUM_CAUSES = 3
# The strongest suspects are undone on a copy; the others are followed up if these explain nothing.
MAXIMUM_SUSPECTS = 3


@dataclass(frozen=True)
class Measured:
    """The statistic of a cause in a window, and its bound."""

    cause: Cause
    value: float
    bound: float

    @property
    def excess(self) -> float:
        """How far the value lies beyond the bound, in bounds; 0 within it."""
        return max(self.value / self.bound - 1, 0.0)


@dataclass(frozen=True)
class Confirmed:
    """A cause of the window.

    Attributes:
        measured: Its statistic.
        suspicion: Its evidence and repair.
        value_after: The statistic after undoing it on a copy; None if no copy can show it.
        before: The case with the cause.
        after: The case without it; the same if no copy can show it.
    """

    measured: Measured
    suspicion: Suspicion
    value_after: float | None
    before: Case
    after: Case

    @property
    def is_undone(self) -> bool:
        """Whether undoing it brings its statistic back within the bound."""
        return self.value_after is not None and self.value_after <= self.measured.bound


@dataclass(frozen=True)
class Diagnosis:
    """The causes of a window, the one that explains most first, and all statistics."""

    causes: tuple[Confirmed, ...]
    measured: tuple[Measured, ...]


def diagnose(case: Case, catalogue: tuple[Cause, ...] = CATALOGUE) -> Diagnosis:
    """Return the causes of what is not natural in a window.

    Args:
        case: The window.
        catalogue: The causes to examine.
    """
    natural = {} if case.earlier is None else _measure(case.earlier, catalogue)
    bounds = {cause.name: cause.bound(natural.get(cause.name)) for cause in catalogue}
    first = measured = _judge(case, catalogue, bounds)
    causes: list[Confirmed] = []
    while len(causes) < MAXIMUM_CAUSES:
        named = {item.measured.cause.name for item in causes}
        suspects = _explain(case, [item for item in measured if item.cause.name not in named])
        if not suspects:
            break
        left = [
            measured if suspect.after is case else _judge(suspect.after, catalogue, bounds)
            for suspect in suspects
        ]
        best = min(
            range(len(suspects)),
            key=lambda n: (not suspects[n].is_undone, sum(item.excess for item in left[n])),
        )
        causes.append(suspects[best])
        case, measured = suspects[best].after, left[best]
    return Diagnosis(tuple(causes), first)


def _measure(case: Case, catalogue: Iterable[Cause]) -> dict[str, float]:
    return {cause.name: cause.measure(case) for cause in catalogue}


def _judge(
    case: Case, catalogue: Iterable[Cause], bounds: Mapping[str, float]
) -> tuple[Measured, ...]:
    values = _measure(case, catalogue)
    return tuple(Measured(c, values[c.name], bounds[c.name]) for c in catalogue)


def _explain(case: Case, measured: Iterable[Measured]) -> list[Confirmed]:
    """Return the strongest suspects of the causes beyond their bounds, each undone on a copy."""
    beyond = sorted((item for item in measured if item.excess), key=lambda item: -item.excess)
    suspects = []
    for item in beyond:
        suspicion = item.cause.explain(case, item.bound)
        if suspicion is None:
            continue
        after = case if suspicion.undo is None else suspicion.undo(case)
        left = None if suspicion.undo is None else item.cause.measure(after)
        suspects.append(Confirmed(item, suspicion, left, case, after))
        if len(suspects) == MAXIMUM_SUSPECTS:
            break
    return suspects

"""A cause of the catalogue, and a suspicion: its evidence, the repair, and the way to undo it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.contracts.phases import Phase
from pipeline.contracts.repairs import Step
from pipeline.monitoring.diagnosis.case import Case


@dataclass(frozen=True)
class Suspicion:
    """A cause that the evidence of a window speaks for.

    Attributes:
        phase: The phase to redo.
        because: The evidence in a sentence.
        action: What to do, for a person.
        steps: What a program can do, the first one first.
        undo: Returns a copy of the case without the fault; None if no copy can show it.
        renames: New id of each old id, for a repair by an id map.
    """

    phase: Phase
    because: str
    action: str
    steps: tuple[Step, ...] = ()
    undo: Callable[[Case], Case] | None = None
    renames: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cause:
    """A cause of the catalogue, with a statistic that is near 0 in a healthy window.

    The bound of the statistic is the larger of `floor` and `factor * natural`, where `natural` is
    the statistic of the window before; a shop that is too young to have one gets `floor`.

    Attributes:
        name: Name of the cause.
        statistic: What is measured, with its unit.
        measure: Returns the statistic of a case; 0 where the shop has no such data.
        explain: Returns the suspicion, for a statistic beyond its bound; None if what it shows is
            not this cause.
    """

    name: str
    statistic: str
    measure: Callable[[Case], float]
    explain: Callable[[Case, float], Suspicion | None]
    floor: float
    factor: float = 3.0

    def bound(self, natural: float | None) -> float:
        """Return the largest value of the statistic that is natural."""
        return self.floor if natural is None else max(self.floor, self.factor * natural)

"""The verdict of a phase: proceed, return to an earlier phase, or stop, with its evidence."""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from pipeline.contracts.phases import Phase
from pipeline.contracts.repairs import Repair

Status = Literal["proceed", "return", "stop"]
LARGE = 1000

# The evidence of each phase that `dvc metrics show` shows.
HEADLINES: dict[Phase, tuple[str, ...]] = {
    "planning": ("gain_lower_bound", "reachable_ceiling"),
    "collection": ("rows_kept",),
    "labeling": ("training_examples",),
    "training": ("validation_ndcg@10",),
    "testing": ("recall@10", "ahead_of_baselines", "coverage@10", "fairness_gap"),
    "monitoring": ("recall@10", "input_drift"),
}


class Evidence(BaseModel):
    """A measured number and the bound that it is compared with.

    Evidence that `gates` and does not hold keeps its phase from proceeding. Evidence that does not
    gate only warns: the phase may proceed, and is shown as healthy with warnings. A number that
    could not be measured has no value and does not hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: float | None
    bound: float | None = None
    holds: bool
    gates: bool = True
    note: str = ""

    def in_words(self) -> str:
        """Return the number beside its bound.

        >>> Evidence(name="recall@10", value=0.1489, bound=0.134, holds=True).in_words()
        'recall@10 0.1489 (bound 0.134)'
        >>> Evidence(name="latency", value=None, holds=False).in_words()
        'latency does not hold'
        """
        if self.value is None:
            return f"{self.name} {'holds' if self.holds else 'does not hold'}"
        bound = "" if self.bound is None else f" (bound {_short(self.bound)})"
        return f"{self.name} {_short(self.value)}{bound}"


def failing(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Return the evidence that gates and does not hold."""
    return tuple(item for item in evidence if item.gates and not item.holds)


def as_warnings(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Return the same evidence, where failing evidence only warns."""
    return tuple(
        item if item.holds else item.model_copy(update={"gates": False}) for item in evidence
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= LARGE else f"{value:.4g}"


class Verdict(BaseModel):
    """The conclusion of a phase.

    `status` is `proceed` if all evidence that gates holds, `return` if an earlier phase must be
    redone (see `target_phase` and `action`), and `stop` if the project should end. `cost_minutes`
    and `gain` are the expected cost of the action and its benefit in the primary metric; None if
    unknown. `repairs` is what a program can do about it, the most promising first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: Phase
    status: Status
    cause: str
    evidence: tuple[Evidence, ...] = ()
    target_phase: Phase | None = None
    action: str | None = None
    cost_minutes: float | None = None
    gain: float | None = None
    repairs: tuple[Repair, ...] = ()

    @property
    def failing(self) -> tuple[Evidence, ...]:
        """The evidence that gates and does not hold."""
        return failing(self.evidence)

    @property
    def headline(self) -> dict[str, float]:
        """The numbers by which two cycles are compared first."""
        chosen = HEADLINES.get(self.phase, ())
        return {e.name: e.value for e in self.evidence if e.name in chosen and e.value is not None}

    @property
    def warnings(self) -> tuple[Evidence, ...]:
        """The evidence that does not hold and does not gate."""
        return tuple(item for item in self.evidence if not item.gates and not item.holds)

    @property
    def status_in_words(self) -> str:
        """The status, with a note if there are warnings.

        >>> late = Evidence(name="cycle_minutes", value=13, bound=12, holds=False, gates=False)
        >>> done = Verdict(phase="planning", status="proceed", cause="Go on", evidence=(late,))
        >>> done.status_in_words
        'proceed, with warnings'
        """
        return f"{self.status}, with warnings" if self.warnings else self.status

    @model_validator(mode="after")
    def _a_return_says_where_and_how(self) -> "Verdict":
        if self.status == "return" and (self.target_phase is None or not self.action):
            message = f"expected target_phase and action in a verdict that returns, got {self}"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _nothing_that_gates_fails_where_it_proceeds(self) -> "Verdict":
        if self.status == "proceed" and self.failing:
            names = ", ".join(item.name for item in self.failing)
            message = (
                f"expected no failing evidence that gates in a verdict that proceeds, got {names}"
            )
            raise ValueError(message)
        return self

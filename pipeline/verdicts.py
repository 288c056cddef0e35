"""What a phase concludes: go on, go back to an earlier phase, or stop, and on what evidence."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

Phase = Literal[
    "planning", "collection", "labeling", "training", "testing", "deployment", "monitoring"
]
Status = Literal["proceed", "return", "stop"]

PHASES: tuple[Phase, ...] = (
    "planning",
    "collection",
    "labeling",
    "training",
    "testing",
    "deployment",
    "monitoring",
)


class Evidence(BaseModel):
    """One measured number beside the bound that it was held against.

    Evidence that does not hold and `gates` keeps its phase from proceeding. What does not gate is
    a warning: the phase may proceed, and is shown as healthy with warnings. A question that could
    not be answered has no value and does not hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: float | None
    bound: float | None = None
    holds: bool
    gates: bool = True
    note: str = ""


class Verdict(BaseModel):
    """The conclusion of a phase.

    `status` is `proceed` when every piece of evidence holds, `return` when an earlier phase has
    to be redone (`target_phase` and `action` say which and how), `stop` when going on makes no
    sense. `cost_minutes` and `gain` are what the action is expected to cost and to bring (in the
    primary metric); None where nothing is known.
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

    @property
    def failing(self) -> tuple[Evidence, ...]:
        """The evidence that gates and does not hold."""
        return tuple(item for item in self.evidence if item.gates and not item.holds)

    @property
    def warnings(self) -> tuple[Evidence, ...]:
        """The evidence that does not hold and does not gate."""
        return tuple(item for item in self.evidence if not item.gates and not item.holds)

    @model_validator(mode="after")
    def _a_return_says_where_and_how(self) -> "Verdict":
        if self.status == "return" and (self.target_phase is None or not self.action):
            message = f"a verdict that returns needs target_phase and action. Received: {self}"
            raise ValueError(message)
        return self

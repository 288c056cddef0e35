"""The entries of the ledger, and the attempts that they add up to.

An attempt is one repair from its proposal to its end. Its entries, in order:

    proposed -> applying -> applied -> measured -> kept
                                                -> undoing -> undone
    proposed -> failed                               the step was refused, or undoing it was
    proposed -> asked -> answered [-> applying …]    a question; a person chose a step

`applying` and `undoing` are written before the change and hold what the change needs to be taken
back, so a killed loop leaves enough to go on. An entry `healthy` belongs to no attempt: it ends an
episode, after which a repair that did not help before may be tried again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from pipeline.contracts.phases import Phase
from pipeline.contracts.repairs import Repair
from pipeline.contracts.verdicts import Evidence

VERSION = 1
Transition = Literal[
    "proposed", "applying", "applied", "measured", "kept", "undoing", "undone", "failed",
    "asked", "answered", "healthy",
]  # fmt: skip
Decider = Literal["loop", "person"]
UNFINISHED = {"proposed", "applying", "applied", "measured", "undoing"}
NO_ATTEMPT = 0


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trouble(_Record):
    """A verdict that returns or stops and that no person has accepted."""

    phase: Phase
    status: Literal["return", "stop"]
    cause: str
    failing: tuple[Evidence, ...] = ()


class Measurement(_Record):
    """The primary metric on served answers, as monitoring measured it.

    Attributes:
        metric: Name of the metric.
        value: Mean over requests.
        low: Lower end of its confidence interval.
        high: Upper end.
        as_of: First day of the measured weeks; other weeks are other requests.
        lead: Lead over the best live frequency baseline on the same requests; None if unknown.
    """

    metric: str
    value: float
    low: float
    high: float
    as_of: date
    lead: float | None = None


class Assessment(_Record):
    """The state after a cycle.

    Attributes:
        trouble: The verdict that keeps the cycle from being healthy, or None.
        measurement: Quality on served answers; None if monitoring did not measure it.
        failure: Why the cycle ended without a verdict, or None.
        minutes: Minutes of the cycle.
    """

    trouble: Trouble | None = None
    measurement: Measurement | None = None
    failure: str | None = None
    minutes: float = 0.0

    @property
    def is_healthy(self) -> bool:
        """Whether every verdict proceeds or is accepted."""
        return self.trouble is None and self.failure is None


class KeyChange(_Record):
    """A change to a key of params.yaml, with what was there before.

    Attributes:
        key: The key with its sections.
        operation: `set`, or `append` to a list.
        old: The value before; None if the key was not set.
        new: The value after `set`, or the member that was appended.
        was_set: Whether the key was there before.
    """

    key: str
    operation: Literal["set", "append"]
    old: JsonValue
    new: JsonValue
    was_set: bool


class CopiedFile(_Record):
    """A file that a change of params.yaml names, with the sha256 of its content."""

    source: str
    target: str
    sha256: str


class ParamsEffect(_Record):
    """What an edit of params.yaml changes, and the files that are copied before it."""

    kind: Literal["params"] = "params"
    changes: tuple[KeyChange, ...]
    files: tuple[CopiedFile, ...] = ()


class ReleaseEffect(_Record):
    """What a rollback changes: the champion `before` gives way to `after`."""

    kind: Literal["release"] = "release"
    before: str
    after: str


class RestartEffect(_Record):
    """The process ids of the workers that a restart replaces."""

    kind: Literal["restart"] = "restart"
    workers: tuple[int, ...]


class RerunEffect(_Record):
    """The stage that the next cycle runs again."""

    kind: Literal["rerun"] = "rerun"
    stage: Phase


Effect = Annotated[
    ParamsEffect | ReleaseEffect | RestartEffect | RerunEffect, Field(discriminator="kind")
]


class LedgerEntry(_Record):
    """One line of the ledger.

    Attributes:
        version: Version of this format.
        attempt: Number of the attempt, from 1; 0 for `healthy`.
        transition: What happened, or is about to happen.
        at: When, UTC.
        by: Who decided it.
        repair: The repair, where it is proposed or chosen by a person.
        before: State before the repair, where it is proposed.
        effect: What the step changes, where it is about to.
        after: State after the repair, where it is measured.
        realised_gain: Change of the primary metric, where the attempt ends; None if unknown.
        answer: The chosen option, where a person answered.
        note: The reason, in a sentence.
    """

    version: int = VERSION
    attempt: int = Field(ge=NO_ATTEMPT)
    transition: Transition
    at: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    by: Decider = "loop"
    repair: Repair | None = None
    before: Assessment | None = None
    effect: Effect | None = None
    after: Assessment | None = None
    realised_gain: float | None = None
    answer: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Attempt:
    """One repair with its entries, oldest first; the first one proposes it."""

    entries: tuple[LedgerEntry, ...]

    @property
    def number(self) -> int:
        """Number of the attempt, from 1."""
        return self.entries[0].attempt

    @property
    def state(self) -> Transition:
        """The last transition."""
        return self.entries[-1].transition

    @property
    def by(self) -> Decider:
        """Who decided the repair: a person, if one chose its step."""
        chosen = [entry.by for entry in self.entries if entry.transition == "answered"]
        return chosen[-1] if chosen else self.entries[0].by

    @property
    def repair(self) -> Repair:
        """The repair, with the step that a person chose if one did."""
        return next(e.repair for e in reversed(self.entries) if e.repair is not None)

    @property
    def before(self) -> Assessment:
        """The state before the repair."""
        return next(e.before for e in self.entries if e.before is not None)

    @property
    def effect(self) -> Effect | None:
        """What the step changes; None if it was never about to."""
        return next((e.effect for e in reversed(self.entries) if e.effect is not None), None)

    @property
    def after(self) -> Assessment | None:
        """The state after the repair; None if it was not measured."""
        return next((e.after for e in reversed(self.entries) if e.after is not None), None)

    @property
    def is_unfinished(self) -> bool:
        """Whether the loop has to take the attempt up again."""
        is_chosen = self.state == "answered" and self.repair.step.kind != "ask"
        return self.state in UNFINISHED or is_chosen

    @property
    def is_applied(self) -> bool:
        """Whether the step was applied and not taken back."""
        was_applied = any(entry.transition == "applied" for entry in self.entries)
        return was_applied and self.state != "undone"

    @property
    def was_undone_by_a_person(self) -> bool:
        """Whether a person took the step back."""
        return self.state == "undone" and self.entries[-1].by == "person"


def group_attempts(entries: Iterable[LedgerEntry]) -> tuple[Attempt, ...]:
    """Return the attempts in the order of their numbers."""
    grouped: dict[int, list[LedgerEntry]] = {}
    for entry in entries:
        if entry.attempt != NO_ATTEMPT:
            grouped.setdefault(entry.attempt, []).append(entry)
    return tuple(Attempt(tuple(members)) for _, members in sorted(grouped.items()))


def read_episode(entries: Sequence[LedgerEntry]) -> tuple[Attempt, ...]:
    """Return the attempts since the shop was last healthy."""
    healthy = [n for n, entry in enumerate(entries) if entry.transition == "healthy"]
    started = {e.attempt for e in entries[healthy[-1] if healthy else 0 :]}
    ended = {e.attempt for e in entries[: healthy[-1] if healthy else 0]}
    return tuple(a for a in group_attempts(entries) if a.number in started - ended)


def identify(repair: Repair) -> str:
    """Return what makes two repairs the same: the cause, the phase and the step."""
    return f"{repair.cause} {repair.target_phase} {repair.step.model_dump_json()}"


def collect_tried(entries: Sequence[LedgerEntry]) -> frozenset[str]:
    """Return the repairs not to try: those of this episode, and those that a person undid."""
    undone = [a for a in group_attempts(entries) if a.was_undone_by_a_person]
    # A person's answer replaces the repair of an attempt: its question counts as tried too.
    return frozenset(
        identify(entry.repair)
        for attempt in (*read_episode(entries), *undone)
        for entry in attempt.entries
        if entry.repair is not None
    )

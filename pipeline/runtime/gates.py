"""Gates: a stage starts only if the verdict before it proceeds, or a person accepted that verdict.

    uv run python -m pipeline.lifecycle accept testing --because "Coverage matters from May on"

appends to data/accepted/<phase>.json, which belongs into git. There is one file for each
phase, because each is an input of the stages that follow its phase, and of no other: to accept
what testing says fits no model again.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from pipeline.contracts import artefacts
from pipeline.contracts.errors import ArtefactError, GateError
from pipeline.contracts.verdicts import Phase, Verdict

FOLDER = Path("data/accepted")


class Acceptance(BaseModel):
    """One verdict that a person accepted by name, with a reason.

    Attributes:
        phase: Whose verdict.
        status: What it says.
        failing: Names of the evidence that gates and does not hold, in alphabetical order.
        cause: What the verdict said, word for word.
        missing: The same evidence with its numbers, as they were when it was accepted.
        because: Why the circle goes on nevertheless.
        day: When it was accepted, UTC. Who did is in git.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: Phase
    status: Literal["return", "stop"]
    failing: tuple[str, ...]
    cause: str
    missing: tuple[str, ...]
    because: str
    day: date

    def covers(self, verdict: Verdict) -> bool:
        """Return whether `verdict` fails exactly what was accepted.

        Numbers may differ, names may not. Where no evidence fails, the cause has to be the same.
        """
        is_same = (self.phase, self.status) == (verdict.phase, verdict.status)
        failing = failing_names(verdict)
        return (
            is_same and self.failing == failing and (bool(failing) or self.cause == verdict.cause)
        )


def failing_names(verdict: Verdict) -> tuple[str, ...]:
    """Return the names of what keeps the phase from proceeding, in alphabetical order."""
    return tuple(sorted({item.name for item in verdict.failing}))


def file_of(phase: Phase) -> Path:
    """Return where the acceptances of a phase are."""
    return FOLDER / f"{phase}.json"


def read_acceptances(phase: Phase) -> list[Acceptance]:
    """Return what people accepted of `phase`, oldest first.

    Raises:
        ArtefactError: The file is not a list of acceptances.
    """
    path = file_of(phase)
    if not path.exists():
        return []
    try:
        return TypeAdapter(list[Acceptance]).validate_json(path.read_bytes())
    except ValidationError as error:
        raise ArtefactError(
            f"a list of acceptances in '{path}'",
            received=f"{error.error_count()} values of another shape",
            action=f"Bring it back: `git checkout {path}`.",
        ) from error


def acceptance_of(verdict: Verdict) -> Acceptance | None:
    """Return the newest acceptance that covers `verdict`; None if it proceeds or none does."""
    accepted = read_acceptances(verdict.phase)
    return next((item for item in reversed(accepted) if item.covers(verdict)), None)


def may_go_on(verdict: Verdict) -> bool:
    """Return whether `verdict` proceeds or is accepted."""
    return verdict.status == "proceed" or acceptance_of(verdict) is not None


def check_gate(stage: str, after: Phase | None) -> Acceptance | None:
    """Return the acceptance by which `stage` may start; None if the verdict before it proceeds.

    Args:
        stage: What wants to start.
        after: The phase before it, whose verdict counts; None for the first.

    Raises:
        GateError: That verdict says return or stop, and nobody accepted it.
        ArtefactError: There is no verdict.
    """
    if after is None:
        return None
    verdict = artefacts.read_verdict(after)
    acceptance = acceptance_of(verdict)
    if verdict.status != "proceed" and acceptance is None:
        raise GateError(
            f"a verdict of {after} that proceeds before {stage} starts",
            received=f"'{verdict.status}': {verdict.cause}",
            action=" ".join([*_advice(verdict), f"Or accept it as it is: `{command(after)}`."]),
        )
    return acceptance


def _advice(verdict: Verdict) -> Sequence[str]:
    target = f"Go back to {verdict.target_phase}: " if verdict.target_phase else ""
    mend = f"{target}{verdict.action or 'mend what it names.'}"
    return (mend, f"Then redo it: `uv run dvc repro {verdict.phase}`.")


def command(phase: Phase) -> str:
    """Return the command that accepts the verdict of `phase`."""
    return f'uv run python -m pipeline.lifecycle accept {phase} --because "…"'


def accept(phase: Phase, because: str) -> Acceptance:
    """Write down that the verdict of `phase` is accepted, and return that.

    A stop may be accepted as well as a return: a person may know what the plan does not.

    Raises:
        ArtefactError: There is no verdict.
        GateError: It proceeds, is accepted already, or there is no reason.
    """
    verdict = artefacts.read_verdict(phase)
    check_acceptable(verdict, because)
    assert verdict.status != "proceed"
    acceptance = Acceptance(
        phase=phase,
        status=verdict.status,
        failing=failing_names(verdict),
        cause=verdict.cause,
        missing=tuple(item.in_words() for item in verdict.failing),
        because=" ".join(because.split()),
        day=datetime.now(UTC).date(),
    )
    accepted = [*read_acceptances(phase), acceptance]
    artefacts.write_json([item.model_dump(mode="json") for item in accepted], file_of(phase))
    return acceptance


def check_acceptable(verdict: Verdict, because: str) -> None:
    """Raise GateError if there is nothing to accept, or no reason to."""
    phase = verdict.phase
    if verdict.status == "proceed":
        raise GateError(
            f"a verdict of {phase} that returns or stops",
            received=f"'proceed': {verdict.cause}",
            action="There is nothing to accept.",
        )
    earlier = acceptance_of(verdict)
    if earlier is not None:
        raise GateError(
            f"a verdict of {phase} that is not accepted yet",
            received=f"one that was accepted on {earlier.day}: {earlier.because}",
            action="Go on with `uv run dvc repro`.",
        )
    if not because.strip():
        raise GateError("a reason", received="none", action=f"Say why: `{command(phase)}`.")

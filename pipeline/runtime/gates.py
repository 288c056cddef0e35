"""Gates: a stage starts only if the previous verdict proceeds, or a person has accepted it.

    uv run python -m pipeline.lifecycle accept testing --because "Coverage matters from May on"

appends to data/accepted/<phase>.json, which is committed. Each phase has a file of its own, which
is a dependency of the stages that follow it: accepting the verdict of testing re-runs no fit.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from pipeline.contracts import artefacts
from pipeline.contracts.errors import ArtefactError, GateError
from pipeline.contracts.phases import Phase
from pipeline.contracts.verdicts import Verdict

FOLDER = Path("data/accepted")


class Acceptance(BaseModel):
    """A verdict that a person accepted, with a reason.

    Attributes:
        phase: Phase of the verdict.
        status: Status of the verdict.
        failing: Names of the failing evidence that gates, in alphabetical order.
        cause: Cause of the verdict, verbatim.
        missing: The failing evidence with its numbers at the time of acceptance.
        because: Reason for the acceptance.
        day: Day of the acceptance, UTC. Git records the author.
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
        """Return whether `verdict` fails the same evidence as the accepted one.

        The numbers may differ. If no evidence fails, the causes must be equal.
        """
        is_same = (self.phase, self.status) == (verdict.phase, verdict.status)
        failing = failing_names(verdict)
        return (
            is_same and self.failing == failing and (bool(failing) or self.cause == verdict.cause)
        )


def failing_names(verdict: Verdict) -> tuple[str, ...]:
    """Return the names of the failing evidence that gates, in alphabetical order."""
    return tuple(sorted({item.name for item in verdict.failing}))


def acceptance_path(phase: Phase) -> Path:
    """Return the file of a phase's acceptances."""
    return FOLDER / f"{phase}.json"


def read_acceptances(phase: Phase) -> list[Acceptance]:
    """Return the acceptances of `phase`, oldest first.

    Raises:
        ArtefactError: If the file is not a list of acceptances.
    """
    path = acceptance_path(phase)
    if not path.exists():
        return []
    try:
        return TypeAdapter(list[Acceptance]).validate_json(path.read_bytes())
    except ValidationError as error:
        raise ArtefactError(
            f"a list of acceptances in '{path}'",
            received=f"{error.error_count()} invalid values",
            action=f"Restore the file: `git checkout {path}`.",
        ) from error


def find_acceptance(verdict: Verdict) -> Acceptance | None:
    """Return the newest acceptance that covers `verdict`, or None."""
    accepted = read_acceptances(verdict.phase)
    return next((item for item in reversed(accepted) if item.covers(verdict)), None)


def may_go_on(verdict: Verdict) -> bool:
    """Return whether `verdict` proceeds or is accepted."""
    return verdict.status == "proceed" or find_acceptance(verdict) is not None


def check_gate(stage: str, after: Phase | None) -> Acceptance | None:
    """Return the acceptance by which `stage` may start; None if the verdict before it proceeds.

    Args:
        stage: The stage to start.
        after: The phase whose verdict must proceed; None for the first stage.

    Raises:
        GateError: If that verdict returns or stops, and is not accepted.
        ArtefactError: If the verdict is missing.
    """
    if after is None:
        return None
    verdict = artefacts.read_verdict(after)
    acceptance = find_acceptance(verdict)
    if verdict.status != "proceed" and acceptance is None:
        raise GateError(
            f"a verdict of {after} that proceeds before {stage} starts",
            received=f"'{verdict.status}': {verdict.cause}",
            action=" ".join(
                [*_advice(verdict), f"Or accept it as it is: `{accept_command(after)}`."]
            ),
        )
    return acceptance


def _advice(verdict: Verdict) -> Sequence[str]:
    target = f"Go back to {verdict.target_phase}: " if verdict.target_phase else ""
    repair = f"{target}{verdict.action or 'correct the cause.'}"
    return (repair, f"Then run `uv run dvc repro {verdict.phase}`.")


def accept_command(phase: Phase) -> str:
    """Return the command that accepts the verdict of `phase`."""
    return f'uv run python -m pipeline.lifecycle accept {phase} --because "…"'


def accept(phase: Phase, because: str) -> Acceptance:
    """Record that the verdict of `phase` is accepted, and return the acceptance.

    A stop can be accepted as well as a return.

    Raises:
        ArtefactError: If the verdict is missing.
        GateError: If the verdict proceeds, is already accepted, or `because` is empty.
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
    artefacts.write_json(
        [item.model_dump(mode="json") for item in accepted], acceptance_path(phase)
    )
    return acceptance


def check_acceptable(verdict: Verdict, because: str) -> None:
    """Raise GateError if the verdict needs no acceptance, or the reason is empty."""
    phase = verdict.phase
    if verdict.status == "proceed":
        raise GateError(
            f"a verdict of {phase} that returns or stops",
            received=f"'proceed': {verdict.cause}",
            action="There is nothing to accept.",
        )
    earlier = find_acceptance(verdict)
    if earlier is not None:
        raise GateError(
            f"a verdict of {phase} that is not accepted yet",
            received=f"one that was accepted on {earlier.day}: {earlier.because}",
            action="Continue with `uv run dvc repro`.",
        )
    if not because.strip():
        raise GateError("a reason", received="none", action=f"Give one: `{accept_command(phase)}`.")

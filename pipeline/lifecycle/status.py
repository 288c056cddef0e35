"""The status of each phase: its health, its main number, the cause, and the page to read.

A phase is healthy if its verdict proceeds without a warning, and the files that it judged are here
and unchanged. The marks:

    ✓  healthy                  green
    !  healthy, with warnings   amber: evidence that does not gate does not hold
    !  accepted                 amber: it returns or stops, and a person has accepted it
    ≠  changed since            amber: outputs, code, inputs or parameters have changed
    –  missing, not run here    grey: the files that it judged are not here
    ✗  not healthy              red: it returns or stops
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pipeline.contracts import artefacts
from pipeline.contracts.phases import PHASES, Phase
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.lifecycle.workspace import Workspace
from pipeline.runtime import gates
from pipeline.runtime.gates import Acceptance

Health = Literal[
    "healthy",
    "healthy, with warnings",
    "accepted",
    "changed since",
    "missing",
    "not run here",
    "not healthy",
]
Colour = Literal["green", "amber", "grey", "red"]
LOOKS: dict[Health, tuple[str, Colour]] = {
    "healthy": ("✓", "green"),
    "healthy, with warnings": ("!", "amber"),
    "accepted": ("!", "amber"),
    "changed since": ("≠", "amber"),
    "missing": ("–", "grey"),
    "not run here": ("–", "grey"),
    "not healthy": ("✗", "red"),
}
FROM_BEST_TO_WORST: tuple[Colour, ...] = ("green", "amber", "grey", "red")
N_NAMES = 4


@dataclass(frozen=True)
class PhaseStatus:
    """The status of one phase.

    Attributes:
        phase: Name of the phase.
        health: Health in a few words.
        colour: Colour of the mark.
        status: Status of the verdict: proceed, return or stop; None without a verdict.
        number: The main evidence as text.
        cause: Cause of the verdict.
        look: The page to read.
        command: The command to run, or None.
        warnings: Failing evidence that does not gate, as text.
        accepted: Reason of the acceptance, or None.
        changed: Files and parameters that have changed since the verdict.
        missing: Files that the verdict judged and that are not here.
        target_phase: The phase to redo, or None.
        action: How to redo it.
    """

    phase: Phase
    health: Health
    colour: Colour
    status: str | None = None
    number: str = ""
    cause: str = ""
    look: str = ""
    command: str | None = None
    warnings: tuple[str, ...] = ()
    accepted: str | None = None
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    target_phase: str | None = None
    action: str | None = None


def read_status() -> list[PhaseStatus]:
    """Return the row of every phase.

    Raises:
        ArtefactError: If a verdict, an acceptance or a file of DVC cannot be read.
    """
    from pipeline.lifecycle.workspace import read_workspaces

    workspaces, verdicts = read_workspaces(), read_verdicts()
    return [
        build_status(
            phase, verdicts.get(phase), workspaces.get(phase, Workspace(is_recorded=False))
        )
        for phase in PHASES
    ]


def read_verdicts() -> dict[Phase, Verdict]:
    """Return the last verdict of every phase that has one.

    Raises:
        ArtefactError: If a verdict cannot be read.
    """
    return {
        phase: artefacts.read_verdict(phase)
        for phase in PHASES
        if artefacts.verdict(phase).path.exists()
    }


def build_status(phase: Phase, verdict: Verdict | None, workspace: Workspace) -> PhaseStatus:
    """Return the row of one phase.

    Args:
        phase: Which.
        verdict: What it concluded; None without one.
        workspace: How what lies here differs from what it judged.
    """
    acceptance = None if verdict is None else gates.find_acceptance(verdict)
    health = judge_health(verdict, workspace, acceptance)
    row = PhaseStatus(
        phase=phase,
        health=health,
        colour=LOOKS[health][1],
        command=repair_command(phase, health, workspace),
        changed=workspace.changed,
        missing=(*workspace.missing, *workspace.missing_inputs),
    )
    return row if verdict is None else _with_verdict(row, verdict, acceptance)


def _with_verdict(row: PhaseStatus, verdict: Verdict, acceptance: Acceptance | None) -> PhaseStatus:
    return replace(
        row,
        status=verdict.status,
        number=describe_evidence(select_evidence(verdict)),
        cause=verdict.cause,
        look=str(artefacts.page(row.phase).path),
        warnings=tuple(item.in_words() for item in verdict.warnings),
        accepted=None if acceptance is None else acceptance.because,
        target_phase=verdict.target_phase,
        action=verdict.action,
    )


def judge_health(
    verdict: Verdict | None, workspace: Workspace, acceptance: Acceptance | None
) -> Health:
    """Return the health of a phase: its worst problem, or healthy."""
    if verdict is None:
        return "not run here"
    is_lost = bool(workspace.missing) and not (workspace.is_cached or workspace.has_remote)
    table: tuple[tuple[bool, Health], ...] = (
        (verdict.status != "proceed" and acceptance is None, "not healthy"),
        (not workspace.is_recorded or is_lost, "not run here"),
        (bool(workspace.changed), "changed since"),
        (bool(workspace.missing or workspace.missing_inputs), "missing"),
        (acceptance is not None, "accepted"),
        (bool(verdict.warnings), "healthy, with warnings"),
    )
    return next((health for fits, health in table if fits), "healthy")


def repair_command(phase: Phase, health: Health, workspace: Workspace) -> str | None:
    """Return the command that provides a phase's outputs, or None if they are here."""
    if health == "missing" and workspace.is_cached:
        return "uv run dvc checkout"
    if health == "missing" and workspace.has_remote:
        return "uv run dvc pull"
    is_here = health in ("healthy", "healthy, with warnings", "accepted", "not healthy")
    return None if is_here else f"uv run dvc repro {phase}"


def select_evidence(verdict: Verdict) -> Evidence | None:
    """Return the first failing evidence, or the first evidence if none fails."""
    evidence = verdict.failing or verdict.evidence
    return evidence[0] if evidence else None


def describe_evidence(evidence: Evidence | None) -> str:
    """Return a number with its bound, or an empty text without evidence."""
    return "" if evidence is None else evidence.in_words()


def format_json(rows: Iterable[PhaseStatus]) -> dict[str, Any]:
    """Return the rows as JSON values, with the worst colour of all phases."""
    phases = [asdict(row) for row in rows]
    colour = max((row["colour"] for row in phases), key=FROM_BEST_TO_WORST.index)
    return {"healthy": colour == "green", "colour": colour, "phases": phases}


def join_names(values: Sequence[str], most: int = N_NAMES) -> str:
    """Return the first few of many names.

    >>> join_names(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(values[:most]) + more


NO_COLOURS: Mapping[Colour, str] = dict.fromkeys(FROM_BEST_TO_WORST, "")
ANSI: Mapping[Colour, str] = {
    "green": "\033[32m",
    "amber": "\033[33m",
    "grey": "\033[90m",
    "red": "\033[31m",
}


def format_table(
    rows: Sequence[PhaseStatus], width: int = 100, colours: Mapping[Colour, str] = NO_COLOURS
) -> str:
    """Return the table for a terminal.

    Args:
        rows: One per phase.
        width: Width of the terminal in columns; longer lines are wrapped.
        colours: Escape codes that turn each colour on, for example ANSI.
    """
    import textwrap

    n_phase = max(len(row.phase) for row in rows)
    indent = " " * (n_phase + 4)
    lines = []
    for row in rows:
        words = f"{row.health}: {row.status}" if row.health == "not healthy" else row.health
        mark = LOOKS[row.health][0]
        head = f"{mark} {row.phase:<{n_phase}}  {words:<22}"
        on, off = colours[row.colour], "\033[0m" if colours[row.colour] else ""
        lines.append(f"{on}{head}{off}  {row.number}".rstrip())
        for text in _details(row):
            lines += textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
    return "\n".join(lines)


def _details(row: PhaseStatus) -> list[str]:
    """Return the paragraphs below a phase."""
    details = [row.cause] if row.cause else []
    details += [f"warning: {words}" for words in row.warnings]
    if row.accepted is not None:
        details.append(f"accepted: {row.accepted} (status: {row.status})")
    elif row.action:
        target = f"back to {row.target_phase}: " if row.target_phase else ""
        details.append(f"-> {target}{row.action}")
    if row.changed and row.health != "not run here":
        details.append(f"changed since: {join_names(row.changed)}")
    if row.missing:
        details.append(f"missing here: {join_names(row.missing)}")
    if row.command:
        details.append(f"-> `{row.command}`")
    if row.look and not row.missing:
        details.append(f"see {row.look}")
    return details

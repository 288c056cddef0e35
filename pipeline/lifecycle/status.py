"""One row per phase: is it healthy, which number says so, what it means, where to look."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline import artefacts
from pipeline.verdicts import PHASES, Evidence, Phase, Verdict

Health = Literal["healthy", "not healthy", "not run"]
LARGE = 1000
MARKS: dict[Health, str] = {"healthy": "✓", "not healthy": "✗", "not run": "–"}


@dataclass(frozen=True)
class PhaseStatus:
    """What is known of one phase.

    Attributes:
        phase: Which.
        health: In one word or two.
        status: What its verdict says: proceed, return or stop; None before it has run.
        number: The evidence that tells most, in words.
        cause: What that means.
        look: The page to read, or the command to run.
        target_phase: Which phase has to be redone, if one has.
        action: How.
    """

    phase: Phase
    health: Health
    status: str | None
    number: str
    cause: str
    look: str
    target_phase: str | None = None
    action: str | None = None


def read_verdicts() -> dict[Phase, Verdict]:
    """Return the last verdict of every phase that has run.

    Raises:
        ArtefactError: A verdict is there but cannot be read.
    """
    return {
        phase: artefacts.read_verdict(phase)
        for phase in PHASES
        if artefacts.verdict(phase).path.exists()
    }


def status_of(phase: Phase, verdict: Verdict | None) -> PhaseStatus:
    """Return the row of one phase; None is a phase that has not run."""
    if verdict is None:
        return PhaseStatus(phase, "not run", None, "", "not run yet", f"dvc repro {phase}")
    return PhaseStatus(
        phase=phase,
        health="healthy" if verdict.status == "proceed" else "not healthy",
        status=verdict.status,
        number=in_words(most_telling(verdict)),
        cause=verdict.cause,
        look=str(artefacts.page(phase).path),
        target_phase=verdict.target_phase,
        action=verdict.action,
    )


def most_telling(verdict: Verdict) -> Evidence | None:
    """Return the first evidence that does not hold, of an unhealthy phase; else the first."""
    broken = [each for each in verdict.evidence if not each.holds]
    if verdict.status != "proceed" and broken:
        return broken[0]
    return verdict.evidence[0] if verdict.evidence else None


def in_words(evidence: Evidence | None) -> str:
    """Return a number beside its bound.

    >>> in_words(Evidence(name="recall@10", value=0.1489, bound=0.134, holds=True))
    'recall@10 0.1489 (bound 0.134)'
    """
    if evidence is None:
        return ""
    if evidence.value is None:
        return f"{evidence.name} {'holds' if evidence.holds else 'does not hold'}"
    bound = "" if evidence.bound is None else f" (bound {_number(evidence.bound)})"
    return f"{evidence.name} {_number(evidence.value)}{bound}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= LARGE else f"{value:.4g}"


def as_json(rows: Iterable[PhaseStatus]) -> dict[str, Any]:
    """Return the rows as JSON values, with one word for the whole circle."""
    phases = [asdict(row) for row in rows]
    return {"healthy": all(row["health"] == "healthy" for row in phases), "phases": phases}


def as_text(rows: Sequence[PhaseStatus], width: int = 100) -> str:
    """Return the table for a terminal.

    Args:
        rows: One per phase.
        width: Of the terminal, in columns; what a phase's number means is wrapped to it.
    """
    import textwrap

    n_phase = max(len(row.phase) for row in rows)
    indent = " " * (n_phase + 4)
    lines = []
    for row in rows:
        words = row.health if row.status in (None, "proceed") else f"{row.health}: {row.status}"
        lines.append(
            f"{MARKS[row.health]} {row.phase:<{n_phase}}  {words:<19}  {row.number}".rstrip()
        )
        if row.health == "not run":
            lines.append(f"{indent}not run yet: `{row.look}`")
            continue
        lines += textwrap.wrap(row.cause, width, initial_indent=indent, subsequent_indent=indent)
        if row.action:
            target = f"back to {row.target_phase}: " if row.target_phase else ""
            text = f"-> {target}{row.action}"
            lines += textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
        lines.append(f"{indent}see {row.look}")
    return "\n".join(lines)

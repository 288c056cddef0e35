"""What a diagnosis concludes: one disease, the numbers it was looked for in, and the cure."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.verdicts import Evidence, Phase

Status = Literal["healthy", "suspected", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One disease that was looked for.

    Attributes:
        name: Of the disease: overfit, underfit, too_little_data, label_noise, leak, units.
        verdict: `unknown` when nothing was measured that could tell.
        evidence: The numbers beside their bounds.
        cause: One plain sentence.
        target_phase: Where the cure is; None unless suspected.
        action: What to do there; None unless suspected.
    """

    name: str
    verdict: Status
    evidence: tuple[Evidence, ...]
    cause: str
    target_phase: Phase | None = None
    action: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {
            "verdict": self.verdict,
            "cause": self.cause,
            "target_phase": self.target_phase,
            "action": self.action,
            "evidence": [item.model_dump(mode="json") for item in self.evidence],
        }


def healthy(name: str, evidence: tuple[Evidence, ...], cause: str) -> Finding:
    """Return that nothing points to the disease `name`."""
    return Finding(name, "healthy", evidence, cause)


def unknown(name: str, cause: str) -> Finding:
    """Return that the disease `name` could not be looked for, and why."""
    return Finding(name, "unknown", (), cause)


def at_most(name: str, value: float, bound: float, note: str = "") -> Evidence:
    """Return evidence that holds up to the bound; a value that is not finite does not hold."""
    known = math.isfinite(value)
    return Evidence(
        name=name, value=value if known else None, bound=bound, holds=known and value <= bound,
        note=note if known else f"{note} (not finite)".strip(),
    )  # fmt: skip


def above(name: str, value: float, bound: float, note: str = "") -> Evidence:
    """Return evidence that holds beyond the bound."""
    return Evidence(name=name, value=value, bound=bound, holds=value > bound, note=note)

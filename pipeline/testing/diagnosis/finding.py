"""Finding of a diagnosis: a failure mode, its evidence and the remedy."""

import math
from dataclasses import dataclass

from pipeline.contracts.phases import Phase
from pipeline.contracts.testing_report import FindingStatus, RecordedFinding
from pipeline.contracts.verdicts import Evidence


@dataclass(frozen=True)
class Finding:
    """Result of the check of one failure mode.

    Attributes:
        name: Failure mode: overfit, underfit, too_little_data, label_noise, leak or units.
        verdict: `unknown` if the measurements are missing or not sufficient.
        evidence: Numbers with their bounds; all hold in a healthy finding.
        cause: One plain sentence.
        target_phase: Phase of the remedy; None unless suspected.
        action: Remedy in that phase; None unless suspected.
    """

    name: str
    verdict: FindingStatus
    evidence: tuple[Evidence, ...]
    cause: str
    target_phase: Phase | None = None
    action: str | None = None

    def __post_init__(self) -> None:
        """Check that the evidence of a healthy finding holds."""
        broken = [item.name for item in self.evidence if not item.holds]
        if self.verdict == "healthy" and broken:
            message = f"Expected evidence that holds in a healthy finding, got {broken} beyond it"
            raise ValueError(message)

    def open_evidence(self) -> tuple[Evidence, ...]:
        """Return the evidence of an open finding as warnings, empty for a healthy one.

        Names start with the finding's name. An unknown finding has no value.
        """
        if self.verdict == "healthy":
            return ()
        broken = [item for item in self.evidence if not item.holds]
        if self.verdict == "unknown" or not broken:
            note = " ".join([self.cause, *(f"{i.name}: {_number(i)}" for i in broken)])
            return (Evidence(name=self.name, value=None, holds=False, gates=False, note=note),)
        return tuple(
            item.model_copy(
                update={
                    "name": f"{self.name}: {item.name}",
                    "gates": False,
                    "note": f"{self.cause} {item.note}".strip(),
                }
            )
            for item in broken
        )

    def record(self) -> RecordedFinding:
        """Return the finding for the test report, which names it by its key."""
        return RecordedFinding(
            verdict=self.verdict,
            cause=self.cause,
            target_phase=self.target_phase,
            action=self.action,
            evidence=self.evidence,
        )


def healthy(name: str, evidence: tuple[Evidence, ...], cause: str) -> Finding:
    """Return a finding without signs of the failure mode `name`."""
    return Finding(name, "healthy", evidence, cause)


def unknown(name: str, cause: str, evidence: tuple[Evidence, ...] = ()) -> Finding:
    """Return a finding that cannot decide about the failure mode `name`."""
    return Finding(name, "unknown", evidence, cause)


def _number(item: Evidence) -> str:
    value = "no number" if item.value is None else f"{item.value:.4g}"
    return value if item.bound is None else f"{value} against the bound {item.bound:.4g}"


def at_most(name: str, value: float, bound: float, note: str = "") -> Evidence:
    """Return evidence that holds up to the bound; a non-finite value does not hold."""
    known = math.isfinite(value)
    return Evidence(
        name=name, value=value if known else None, bound=bound, holds=known and value <= bound,
        note=note if known else f"{note} (not finite)".strip(),
    )  # fmt: skip


def above(name: str, value: float, bound: float, note: str = "") -> Evidence:
    """Return evidence that holds above the bound."""
    return Evidence(name=name, value=value, bound=bound, holds=value > bound, note=note)

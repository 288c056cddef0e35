"""The repairs of a diagnosis, and its words.

A step that did not bring the window back on a copy is not offered: a person is asked.
"""

from collections.abc import Mapping

from pipeline.contracts.phases import PHASES, Phase
from pipeline.contracts.repairs import Ask, Repair, Step
from pipeline.monitoring.diagnosis.diagnose import Confirmed, Diagnosis


def build_repairs(
    diagnosis: Diagnosis, gains: Mapping[str, float], stage_minutes: Mapping[str, float]
) -> tuple[Repair, ...]:
    """Return the repairs of each cause, the first cause first.

    Args:
        diagnosis: The causes.
        gains: Quality that undoing a cause restores, by the cause's name.
        stage_minutes: Expected minutes of each stage in the plan.
    """
    return tuple(
        Repair(
            cause=cause.measured.cause.name,
            target_phase=cause.suspicion.phase,
            step=step,
            because=describe_cause(cause),
            expected_gain=gains.get(cause.measured.cause.name),
            cost_minutes=cost_minutes(cause.suspicion.phase, stage_minutes),
        )
        for cause in diagnosis.causes
        for step in _steps(cause)
    )


def cost_minutes(target: Phase, stage_minutes: Mapping[str, float]) -> float | None:
    """Return the expected minutes to redo a phase and all later phases, or None if unknown.

    >>> cost_minutes("deployment", {"training": 2.0, "deployment": 1.0, "monitoring": 0.5})
    1.5
    """
    phases = PHASES[PHASES.index(target) :]
    minutes = [stage_minutes[phase] for phase in phases if phase in stage_minutes]
    return sum(minutes) if len(minutes) == len(phases) else None


def describe_causes(diagnosis: Diagnosis) -> str:
    """Return the evidence of all causes in words."""
    return "; also, ".join(describe_cause(cause) for cause in diagnosis.causes)


def describe_cause(cause: Confirmed) -> str:
    """Return the evidence of a cause, with its statistic before and after undoing it on a copy."""
    measured = cause.measured
    words = f"{cause.suspicion.because} ({measured.cause.statistic} {measured.value:.3g}, "
    words += f"naturally at most {measured.bound:.3g}"
    if cause.value_after is None:
        return f"{words})"
    return f"{words}; {cause.value_after:.3g} after undoing it on a copy)"


def _steps(cause: Confirmed) -> tuple[Step, ...]:
    if cause.is_undone or (cause.value_after is None and cause.suspicion.steps):
        return cause.suspicion.steps
    question = f"{describe_cause(cause)}. {cause.suspicion.action} What should be done?"
    return (Ask(question=question),)

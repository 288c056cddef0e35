"""What planning estimated beside what happened: minutes, memory and quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.contracts import artefacts
from pipeline.contracts.plan import Plan
from pipeline.runtime.stage_cost import COSTS, FILE

PARTS = {"families": "training", "refit": "deployment"}  # what a phase's estimate covers besides it


@dataclass(frozen=True)
class EstimateRow:
    """One estimate; `measured` is None where it has not been measured here."""

    what: str
    estimated: float
    measured: float | None
    unit: str

    @property
    def ratio(self) -> float | None:
        """How many times the estimate was measured."""
        return None if self.measured is None else self.measured / max(self.estimated, 1e-9)


def cost_rows(plan: Plan, folder: Path = COSTS) -> list[EstimateRow]:
    """Return the minutes and the memory of each phase, then of the cycle.

    Args:
        plan: Costs at the speed of the reference machine.
        folder: Where each stage recorded what it took.
    """
    costs = _costs(folder)
    rows = []
    for cost in plan.costs:
        stages = costs.get(cost.stage, [])
        minutes = sum(each["minutes"] for each in stages) if stages else None
        memory = max(each["memory_gib"] for each in stages) if stages else None
        rows.append(EstimateRow(cost.stage, cost.minutes, minutes, "minutes"))
        rows.append(EstimateRow(cost.stage, cost.memory_gib, memory, "GiB"))
    whole = [row.measured for row in rows if row.unit == "minutes"]
    total = None if None in whole else sum(value for value in whole if value is not None)
    return [*rows, EstimateRow("cycle", plan.minutes(), total, "minutes")]


def _costs(folder: Path) -> dict[str, list[dict[str, float]]]:
    """Return what the stages of each phase took: `families@mlp` belongs to training."""
    found: dict[str, list[dict[str, float]]] = {}
    for path in sorted(folder.glob(f"*/{FILE}")):
        stage = path.parent.name.split("@")[0]
        cost = artefacts.read_json(artefacts.Artefact(path, "planning"))
        found.setdefault(PARTS.get(stage, stage), []).append(cost)
    return found


def quality_rows(plan: Plan, metrics: dict[str, Any] | None) -> list[EstimateRow]:
    """Return the target and the baseline of the plan beside the test window's.

    Args:
        plan: Measured on the validation window.
        metrics: Contents of reports/testing/metrics.json; None before testing has run.
    """
    reached = counted = None
    if metrics is not None:
        reached = metrics["rolling"][plan.primary_metric]
        baselines = metrics["baselines"].values()
        counted = max(each["rolling"][plan.primary_metric] for each in baselines)
    return [
        EstimateRow("best counting method", plan.baseline.value, counted, plan.primary_metric),
        EstimateRow("model, against the target", plan.target.value, reached, plan.primary_metric),
    ]


def as_text(rows: Sequence[EstimateRow]) -> str:
    """Return the rows as a table for a terminal."""
    lines = [f"{'':<26} {'estimated':>10} {'measured':>10} {'ratio':>7}"]
    for row in rows:
        name = f"{row.what} ({row.unit})"
        if row.measured is None:
            lines.append(f"{name:<36} {row.estimated:>10.3f}   not measured here")
        else:
            numbers = f"{row.estimated:>10.3f} {row.measured:>10.3f} {row.ratio:>7.2f}"
            lines.append(f"{name:<36} {numbers}")
    lines[0] = f"{'':<36} {'estimated':>10} {'measured':>10} {'ratio':>7}"
    return "\n".join(lines)

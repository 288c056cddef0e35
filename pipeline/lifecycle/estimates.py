"""Estimates of planning compared with measurements: minutes, memory and quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.contracts import artefacts
from pipeline.contracts.plan import Plan
from pipeline.contracts.testing_report import TestReport
from pipeline.runtime.stage_cost import COSTS, FILE

PARTS = {"families": "training", "refit": "deployment"}  # stages that a phase's estimate includes


@dataclass(frozen=True)
class EstimateRow:
    """One estimate; `measured` is None if it has not been measured here."""

    what: str
    estimated: float
    measured: float | None
    unit: str

    @property
    def ratio(self) -> float | None:
        """The measurement as a multiple of the estimate."""
        return None if self.measured is None else self.measured / max(self.estimated, 1e-9)


def compare_costs(plan: Plan, folder: Path = COSTS) -> list[EstimateRow]:
    """Return the minutes and the memory of each phase, then the minutes of the cycle.

    Args:
        plan: The plan, with costs on the reference machine.
        folder: Folder of the recorded costs.
    """
    costs = _read_costs(folder)
    rows = []
    for cost in plan.costs:
        stages = costs.get(cost.stage, [])
        minutes = sum(stage["minutes"] for stage in stages) if stages else None
        memory = max(stage["memory_gib"] for stage in stages) if stages else None
        rows.append(EstimateRow(cost.stage, cost.minutes, minutes, "minutes"))
        rows.append(EstimateRow(cost.stage, cost.memory_gib, memory, "GiB"))
    whole = [row.measured for row in rows if row.unit == "minutes"]
    total = None if None in whole else sum(value for value in whole if value is not None)
    return [*rows, EstimateRow("cycle", plan.minutes(), total, "minutes")]


def _read_costs(folder: Path) -> dict[str, list[dict[str, float]]]:
    """Return the costs of the stages of each phase; `families@mlp` belongs to training."""
    costs: dict[str, list[dict[str, float]]] = {}
    for path in sorted(folder.glob(f"*/{FILE}")):
        stage = path.parent.name.split("@")[0]
        cost = artefacts.read_json(artefacts.Artefact(path, "planning"))
        costs.setdefault(PARTS.get(stage, stage), []).append(cost)
    return costs


def compare_quality(plan: Plan, report: TestReport | None) -> list[EstimateRow]:
    """Return the target and the baseline of the plan with their values on the test window.

    Args:
        plan: The plan, measured on the validation window.
        report: Report of testing; None before testing has run.
    """
    reached = best_baseline = None
    metric = plan.primary_metric
    if report is not None:
        reached = report.rolling.mean(metric)
        best_baseline = max(other.rolling.mean(metric) for other in report.baselines.values())
    return [
        EstimateRow("best frequency baseline", plan.baseline.value, best_baseline, metric),
        EstimateRow("model, against the target", plan.target.value, reached, metric),
    ]


def format_table(rows: Sequence[EstimateRow]) -> str:
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

"""A partition was loaded twice: exact repeats of purchase lines."""

from pipeline.monitoring.diagnosis.case import Case
from pipeline.monitoring.diagnosis.corrections import LINE, append_corrections, drop_repeats
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion


def measure_repeats(case: Case) -> float:
    """Return the share of lines that repeat another one, whatever the basket's id."""
    return float(case.now.duplicated(LINE).mean()) if len(case.now) else 0.0


def explain_repeats(case: Case, _bound: float) -> Suspicion | None:
    """Return the days with repeats."""
    repeats = case.now[case.now.duplicated(LINE)]
    days = case.local_days(repeats["timestamp"])
    per_day = days.value_counts()
    span = case.between(per_day.index[per_day >= per_day.max() / 4])
    until = f" until {span['to']}" if "to" in span else ""
    member = {"kind": "deduplicate"} | span
    return Suspicion(
        phase="collection",
        because=f"{measure_repeats(case):.1%} of the lines are exact repeats, since {span['from']}"
        f"{until}",
        action="Load the partition once, or declare `kind: deduplicate` under "
        "collection.corrections in params.yaml.",
        steps=(append_corrections([member]),),
        undo=drop_repeats,
    )


REPEATED_LINES = Cause(
    name="repeated_lines",
    statistic="share of lines that repeat another one",
    measure=measure_repeats,
    explain=explain_repeats,
    floor=0.005,
)

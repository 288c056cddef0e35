"""Baskets are missing throughout the window: part of the lines does not arrive."""

import pandas as pd

from pipeline.contracts.repairs import Ask
from pipeline.monitoring.diagnosis.case import Case, first_rows_of_baskets
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion


def measure_thinness(case: Case) -> float:
    """Return the missing share of the baskets, or of their lines, on the median day."""
    if case.before.empty or case.now.empty:
        return 0.0
    before, now = (_per_day(case, events) for events in (case.before, case.now))
    return max(0.0, *(1 - now[name] / before[name] for name in before))


def _per_day(case: Case, events: pd.DataFrame) -> dict[str, float]:
    baskets = first_rows_of_baskets(events)
    days = case.local_days(baskets["timestamp"]).value_counts()
    return {"baskets": float(days.median()), "lines": len(events) / len(baskets)}


def explain_thinness(case: Case, _bound: float) -> Suspicion | None:
    """Return how much is missing."""
    before, now = (_per_day(case, events) for events in (case.before, case.now))
    words = f"{now['baskets']:,.0f} baskets of {now['lines']:.1f} lines come on a typical day, and "
    words += f"{before['baskets']:,.0f} of {before['lines']:.1f} came before"
    return Suspicion(
        phase="collection",
        because=words,
        action="Compare the newest partitions with the source: lines, baskets, users or stores may "
        "be filtered or sampled. If the shop really sells less, accept the verdict.",
        steps=(
            Ask(
                question=f"Does the shop really sell less? {words}.",
            ),
        ),
    )


THIN_DATA = Cause(
    name="thin_data",
    statistic="missing share of the baskets of a typical day, or of their lines",
    measure=measure_thinness,
    explain=explain_thinness,
    floor=0.25,
    factor=2.0,
)

"""The newest days have not arrived completely yet."""

from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.contracts.repairs import Change, EditParams
from pipeline.monitoring.diagnosis.case import (
    MINIMUM_SHARE,
    Case,
    first_rows_of_baskets,
    typical_level,
)
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion

MINIMUM_DAYS = 2


def measure_late_data(case: Case) -> float:
    """Return the days at the end of the window with hardly any baskets."""
    n_late = _count_late_days(case)
    return float(n_late) if n_late >= MINIMUM_DAYS else 0.0


def explain_late_data(case: Case, _bound: float) -> Suspicion | None:
    """Return the days that have not arrived."""
    n_late = _count_late_days(case)
    n_whole = case.days - n_late
    if n_whole < 1:
        return None
    since = case.calendar[n_whole]
    return Suspicion(
        phase="collection",
        because=f"the last {n_late} days of the window, since {since:%Y-%m-%d}, have hardly any "
        "baskets",
        action="Wait until these days have arrived, or judge the days before them: set "
        f"monitoring.replay_days to {n_whole}.",
        steps=(EditParams(changes=(Change(key="monitoring.replay_days", value=n_whole),)),),
        undo=lambda faulty: _cut(faulty, n_whole),
    )


def _cut(case: Case, n_days: int) -> Case:
    end = case.calendar[n_days]

    def keep(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[case.local_days(frame["timestamp"]) < end]

    return replace(case.change_window(keep, keep), days=n_days)


def _count_late_days(case: Case) -> int:
    before, now = (
        case.local_days(first_rows_of_baskets(events)["timestamp"])
        for events in (case.before, case.now)
    )
    if before.empty or now.empty:
        return 0
    usual = len(before) / ((before.max() - before.min()).days + 1)
    counts = np.asarray(now.value_counts().reindex(case.calendar, fill_value=0), dtype=np.float64)
    usual = usual * typical_level(counts, usual)
    n_late = 0
    for count in reversed(counts):
        if count >= MINIMUM_SHARE * usual:
            break
        n_late += 1
    return n_late


LATE_DATA = Cause(
    name="late_data",
    statistic="days at the end of the window with hardly any baskets",
    measure=measure_late_data,
    explain=explain_late_data,
    floor=1.0,
)

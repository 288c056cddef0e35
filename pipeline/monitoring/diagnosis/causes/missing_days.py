"""Whole days of the window are missing, in all stores or in some."""

import numpy as np
import pandas as pd

from pipeline.monitoring.diagnosis.case import (
    MINIMUM_SHARE,
    Case,
    Member,
    first_rows_of_baskets,
    typical_level,
)
from pipeline.monitoring.diagnosis.corrections import append_quarantines, apply_each, hold_out
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion

# A day of fewer baskets may be empty by chance.
MINIMUM_BASKETS = 20.0
# One day without baskets may be a feast on which the shop is closed.
MINIMUM_DAYS = 2


def measure_missing_days(case: Case) -> float:
    """Return the baskets that are missing in runs of empty days, as days of the whole shop."""
    gaps, usual = _find_gaps(case)
    return float(sum(lost for *_, lost in gaps) / usual) if usual else 0.0


def explain_missing_days(case: Case, _bound: float) -> Suspicion | None:
    """Return the days and stores without baskets."""
    gaps, _ = _find_gaps(case)
    whole = [gap for gap in gaps if gap[0] is None]
    members: list[Member] = [
        {"from": f"{days[0]:%Y-%m-%d}", "to": f"{days[-1] + pd.Timedelta(days=1):%Y-%m-%d}"}
        | ({} if store is None else {"store_id": store})
        | {"because": "missing at the source"}
        for store, days, _ in whole or gaps
    ]
    if not members:
        return None
    n_days = sum(len(days) for _, days, _ in whole or gaps)
    stores = len({member["store_id"] for member in members if "store_id" in member})
    where = f"store days in {stores} stores" if stores else "days"
    return Suspicion(
        phase="collection",
        because=f"{n_days} {where} have hardly any baskets, the first {members[0]['from']}",
        action="Load the partitions of these days again. If they are lost, hold the days out under "
        "collection.quarantined in params.yaml.",
        steps=(append_quarantines(members),),
        undo=apply_each(hold_out, members),
    )


def _find_gaps(case: Case) -> tuple[list[tuple[str | None, pd.DatetimeIndex, float]], float]:
    """Return each gap (store, days, baskets lost) and the usual baskets of a day.

    The end of the window is no gap: late data are another cause. Days that a person has held out
    are expected to be empty.
    """
    before, now = (_baskets(case, events) for events in (case.before, case.now))
    if before.empty or now.empty:
        return [], 0.0
    n_days = (before["day"].max() - before["day"].min()).days + 1
    usual = len(before) / n_days
    # Where baskets are missing everywhere, a store's empty days are no gaps of their own.
    share = min(now["day"].value_counts().median() / usual, 1.0)
    gaps: list[tuple[str | None, pd.DatetimeIndex, float]] = []
    gaps += [(None, *gap) for gap in _gaps_of(case, before, now, n_days)]
    if not gaps:
        for store, earlier in before[before["store"] != ""].groupby("store"):
            rows = now[now["store"] == store]
            gaps += [(str(store), *gap) for gap in _gaps_of(case, earlier, rows, n_days / share)]
    return [gap for gap in gaps if not case.is_held_out(gap[0], gap[1])], usual


def _gaps_of(
    case: Case, before: pd.DataFrame, now: pd.DataFrame, n_days: float
) -> list[tuple[pd.DatetimeIndex, float]]:
    calendar = case.calendar
    share_of_weekday = before["day"].dt.dayofweek.value_counts(normalize=True)
    expected = (share_of_weekday.reindex(calendar.dayofweek).fillna(0.0) * len(before)).to_numpy()
    expected = expected / (n_days / 7)
    counts = np.asarray(now["day"].value_counts().reindex(calendar, fill_value=0), dtype=np.float64)
    expected = expected * typical_level(counts, expected)
    is_empty = (counts < MINIMUM_SHARE * expected) & (expected > 0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_empty, [False]]).astype(int)))
    gaps = []
    for first, last in edges.reshape(-1, 2):
        lost = float((expected - counts)[first:last].sum())
        is_long = last - first >= MINIMUM_DAYS and lost >= MINIMUM_BASKETS
        if is_long and last < len(calendar):
            gaps.append((calendar[first:last], lost))
    return gaps


def _baskets(case: Case, events: pd.DataFrame) -> pd.DataFrame:
    rows = first_rows_of_baskets(events)
    store = rows["store_id"].fillna("") if "store_id" in rows else ""
    return pd.DataFrame({"day": case.local_days(rows["timestamp"]), "store": store})


MISSING_DAYS = Cause(
    name="missing_days",
    statistic="baskets missing in runs of empty days, in days of the shop",
    measure=measure_missing_days,
    explain=explain_missing_days,
    floor=0.15,
    factor=2.0,
)

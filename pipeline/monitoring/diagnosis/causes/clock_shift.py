"""The clock or the time zone of the source is wrong, in all stores or in some.

A window's baskets are compared with the hours and the weekdays in which the shop sold before. In a
healthy shop no shift of the clock makes them more likely.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.monitoring.diagnosis.case import Case, Member, first_rows_of_baskets
from pipeline.monitoring.diagnosis.corrections import append_corrections, apply_each, shift_clock
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion

HOURS, WEEKDAYS = 24, 7
HOUR_SHIFTS = np.array([*range(-12, 0), *range(1, 13)])
DAY_SHIFTS = np.array([-3, -2, -1, 1, 2, 3])
MINIMUM_USERS = 15
MINIMUM_DAYS = 3
# In log likelihood, where each user counts as one basket, since a user's baskets are alike. The
# best of many stores gains less by chance.
MINIMUM_GAIN = 12.0
# Baskets of all stores that count as much as a store's own.
PRIOR_BASKETS = 50.0
Floats = npt.NDArray[np.float64]


class ClockShift(NamedTuple):
    """A shift of the clock: its hours, the days, its gain in log likelihood, and the users."""

    hours: int
    days: pd.Index
    gain: float
    n_users: float


def measure_clock(case: Case) -> float:
    """Return the largest gain in log likelihood per user by a shift of the clock."""
    return max((shift.gain / shift.n_users for shift in _find_shifts(case).values()), default=0.0)


def explain_clock(case: Case, bound: float) -> Suspicion | None:
    """Return the hours by which the clock is wrong, and the days and stores."""
    shifts = _find_shifts(case)
    beyond = {s: shift for s, shift in shifts.items() if shift.gain / shift.n_users > bound}
    members: list[Member] = [
        {"kind": "shift", "hours": -float(shift.hours)}
        | case.between(shift.days)
        | ({} if store is None else {"store_id": store})
        for store, shift in beyond.items()
        if store is None or None not in beyond
    ]
    if not members:
        return None
    hours = -members[0]["hours"]
    stores = [str(member["store_id"]) for member in members if "store_id" in member]
    where = f" in {len(stores)} stores, such as {stores[0]}" if stores else ""
    return Suspicion(
        phase="collection",
        because=f"baskets come {abs(hours):.0f} hours {'later' if hours > 0 else 'earlier'} than "
        f"the shop sells{where}, since {members[0]['from']}",
        action="Correct the time zone or the clock at the source, or declare the shift under "
        "collection.corrections in params.yaml.",
        steps=(append_corrections(members),),
        undo=apply_each(shift_clock, members),
    )


def _find_shifts(case: Case) -> dict[str | None, ClockShift]:
    """Return the best shift of all baskets (None) and of each store."""
    before, now = (_baskets(case, events) for events in (case.before, case.now))
    if now.empty or before.empty or now["hour"].nunique() == 1:  # the source holds days only
        return {}
    hours, weekdays = (_profile(before, column, None) for column in ("hour", "weekday"))
    shifts: dict[str | None, ClockShift | None] = {None: _best_shift(now, hours, weekdays)}
    for store, baskets in now[now["store"] != ""].groupby("store"):
        earlier = before[before["store"] == store]
        shifts[str(store)] = _best_shift(
            baskets, _profile(earlier, "hour", hours), _profile(earlier, "weekday", weekdays)
        )
    whole = shifts[None]
    if whole is not None:
        shifted = [store for store, shift in shifts.items() if store and shift is not None]
        rest = now[~now["store"].isin(shifted)]
        alike = _best_shift(rest, hours, weekdays, minimum=0.0)
        if shifted and rest["user"].nunique() >= MINIMUM_USERS and not _is_like(alike, whole):
            shifts[None] = None  # these stores alone make a shift of all baskets likely
    return {store: shift for store, shift in shifts.items() if shift is not None}


def _is_like(rest: ClockShift | None, whole: ClockShift) -> bool:
    """Return whether other baskets gain at least half as much per user as all."""
    return rest is not None and rest.gain / rest.n_users > whole.gain / whole.n_users / 2


def _baskets(case: Case, events: pd.DataFrame) -> pd.DataFrame:
    rows = first_rows_of_baskets(events)
    local = case.as_local(rows["timestamp"])
    return pd.DataFrame(
        {
            "hour": local.dt.hour,
            "weekday": local.dt.dayofweek,
            "day": local.dt.normalize(),
            "store": rows["store_id"].fillna("") if "store_id" in rows else "",
            "user": rows["user_id"],
        }
    )


def _profile(baskets: pd.DataFrame, column: str, prior: Floats | None) -> Floats:
    """Return the share of baskets in each hour of the day, or on each weekday."""
    length = HOURS if column == "hour" else WEEKDAYS
    counts = np.bincount(baskets[column], minlength=length) + 0.5
    counts += 0.0 if prior is None else PRIOR_BASKETS * prior
    return np.asarray(counts / counts.sum())


def _best_shift(
    now: pd.DataFrame, hours: Floats, weekdays: Floats, minimum: float = MINIMUM_GAIN
) -> ClockShift | None:
    """Return the shift that makes these baskets most likely; None if no shift gains enough.

    Hours may be shifted in any run of days. Whole days are compared over the whole window only:
    a run of days need not hold each weekday.
    """
    n_users = now["user"].nunique()
    if n_users < MINIMUM_USERS:
        return None
    days, codes = np.unique(now["day"], return_inverse=True)
    weight = n_users / len(now)
    of_hour = np.zeros((len(days), HOURS))
    np.add.at(of_hour, (codes, now["hour"]), weight)
    of_weekday = np.bincount(now["weekday"], minlength=WEEKDAYS) * weight
    shifts = [
        ClockShift(int(hour), pd.Index(days[first:last]), total, of_hour[first:last].sum())
        for hour in HOUR_SHIFTS
        for first, last, total in [_best_run(of_hour @ _gains(hours, hour))]
        if last - first >= MINIMUM_DAYS
    ] + [
        ClockShift(
            int(day) * HOURS, pd.Index(days), float(of_weekday @ _gains(weekdays, day)), n_users
        )
        for day in DAY_SHIFTS
    ]
    best = max(shifts, key=lambda shift: shift.gain)
    return best if best.gain > minimum else None


def _gains(usual: Floats, shift: int) -> Floats:
    """Return the gain in log likelihood of a basket in each hour, if the clock is this wrong."""
    log = np.log(usual)
    return np.roll(log, shift) - log


def _best_run(gains: Floats) -> tuple[int, int, float]:
    """Return the run of days with the largest total, and its days times their median.

    The median counts, because a feast can be a single day of other hours.

    >>> _best_run(np.array([-1.0, 2.0, 3.0, -4.0, 1.0]))
    (1, 3, 5.0)
    """
    totals = np.concatenate([[0.0], np.cumsum(gains)])
    last = int(np.argmax(totals - np.minimum.accumulate(totals)))
    first = int(np.argmin(totals[: last + 1]))
    run = gains[first:last]
    return first, last, float(len(run) * np.median(run)) if len(run) else 0.0


CLOCK_SHIFT = Cause(
    name="clock_shift",
    statistic="gain in log likelihood per user by the best shift of the clock",
    measure=measure_clock,
    explain=explain_clock,
    floor=0.01,
    factor=2.0,
)

"""Part of the lines is damaged: prices of 0, one price for all, or implausible quantities."""

import pandas as pd

from pipeline.monitoring.diagnosis.case import Case, Member
from pipeline.monitoring.diagnosis.corrections import append_quarantines, hold_out
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion

# Larger than this many times the 99.9th percentile before the window.
IMPLAUSIBLE_QUANTITY = 3.0
# Different items of a day that hardly ever have the same price.
MANY_ITEMS = 20
# Of the lines of a damaged day.
MINIMUM_SHARE = 0.05


def measure_damage(case: Case) -> float:
    """Return the share of damaged lines of the window beyond that before it."""
    if case.now.empty:
        return 0.0
    usual = float(find_damage(case, case.before).mean()) if len(case.before) else 0.0
    return max(float(find_damage(case, case.now).mean()) - usual, 0.0)


def find_damage(case: Case, events: pd.DataFrame) -> pd.Series:
    """Return whether each line is damaged."""
    damaged = pd.Series(False, index=events.index)  # noqa: FBT003
    if case.before["price"].gt(0).any():
        damaged |= ~(events["price"] > 0)
        damaged |= _has_one_price(events)
    if len(case.before):
        limit = IMPLAUSIBLE_QUANTITY * max(float(case.before["quantity"].quantile(0.999)), 1.0)
        damaged |= ~(events["quantity"] <= limit)
    return damaged


def _has_one_price(events: pd.DataFrame) -> pd.Series:
    """Return whether most items of a line's day have the line's price, and they are many."""
    day = events["timestamp"].dt.floor("D")
    n_items = events.groupby(day)["item_id"].transform("nunique")
    n_alike = events.groupby([day, events["price"]])["item_id"].transform("nunique")
    return (n_items >= MANY_ITEMS) & (n_alike > n_items / 2)


def explain_damage(case: Case, bound: float) -> Suspicion | None:
    """Return the days of the damaged lines."""
    damaged = find_damage(case, case.now)
    share = damaged.groupby(case.local_days(case.now["timestamp"])).mean()
    days = share.index[share > max(MINIMUM_SHARE, bound)]
    if not len(days):
        return None
    first, after = days.min(), days.max() + pd.Timedelta(days=1)
    member: Member = {
        "from": f"{first:%Y-%m-%d}",
        "to": f"{after:%Y-%m-%d}",
        "because": "damaged at the source",
    }
    return Suspicion(
        phase="collection",
        because=f"{damaged.mean():.1%} of the lines have no price, one price for all items or an "
        f"implausible quantity, on {len(days)} days since {first:%Y-%m-%d}",
        action="Load these days again. If they stay damaged, hold them out under "
        "collection.quarantined in params.yaml.",
        steps=(append_quarantines([member]),),
        undo=lambda faulty: hold_out(faulty, member),
    )


DAMAGED_LINES = Cause(
    name="damaged_lines",
    statistic="share of damaged lines beyond that before the window",
    measure=measure_damage,
    explain=explain_damage,
    floor=0.02,
)

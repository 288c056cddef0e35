"""A synthetic shop whose windows the diagnosis examines: habits, stores, hours and prices."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from pipeline.monitoring.diagnosis.case import BEFORE_DAYS, Case
from pipeline.monitoring.diagnosis.catalogue import CATALOGUE
from pipeline.monitoring.diagnosis.diagnose import Measured
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion

ZONE = ZoneInfo("America/Chicago")
START = pd.Timestamp("2017-12-04", tz=ZONE).tz_convert("UTC")
DAYS = 28
N_USERS, N_ITEMS, N_HABITS, N_LINES = 150, 200, 14, 6
STORES = np.array(["s1", "s2", "s3"])
# Share of the users who shop on a weekday, from Monday.
WEEKDAYS = np.array([0.2, 0.2, 0.25, 0.3, 0.4, 0.65, 0.3])
NAMES = np.array([f"i{item:03d}" for item in range(N_ITEMS)])
Frame = pd.DataFrame
Change = Callable[[Frame], Frame]


@cache
def make_case(seed: int = 3) -> Case:
    """Return a healthy window of four weeks, and the 16 weeks before it."""
    events = _make_events(np.random.default_rng(seed))
    now = events[events["timestamp"] >= START].reset_index(drop=True)
    examples = _make_examples(now)
    return Case(
        start=START,
        days=DAYS,
        timezone=ZONE,
        past=events[events["timestamp"] < START].reset_index(drop=True),
        now=now,
        requests=examples,
        labelled=examples,
        known_items=frozenset(NAMES),
    )


def _make_events(random: np.random.Generator) -> Frame:
    n_days = BEFORE_DAYS + 2 * DAYS
    first = START.tz_convert(ZONE).tz_localize(None) - pd.Timedelta(days=n_days - DAYS)
    habits = np.array([random.choice(N_ITEMS, N_HABITS, replace=False) for _ in range(N_USERS)])
    shares = WEEKDAYS[(first.dayofweek + np.arange(n_days)) % 7]
    user, day = np.nonzero(random.random((N_USERS, n_days)) < shares)
    hour = np.clip(random.normal(17, 2.5, len(user)), 7, 21.9)
    local = first + pd.to_timedelta(day * 24 + hour, unit="h")
    chosen = random.random((len(user), N_HABITS)).argsort(axis=1)[:, : N_LINES - 1]
    items = np.column_stack(
        [np.take_along_axis(habits[user], chosen, axis=1), random.integers(N_ITEMS, size=len(user))]
    )
    prices = random.uniform(1, 20, N_ITEMS)
    dear = np.array([1.0, 1.05, 0.95])  # the stores' prices
    line = np.repeat(np.arange(len(user)), N_LINES)
    events = pd.DataFrame(
        {
            "user_id": np.char.mod("u%03d", user)[line],
            "item_id": NAMES[items.ravel()],
            "timestamp": local.tz_localize(ZONE).tz_convert("UTC").round("s")[line],
            "quantity": 1.0 + (random.random(len(line)) < 0.1),
            "price": prices[items.ravel()]
            * dear[user % 3][line]
            * random.choice([1.0, 0.9], len(line), p=[0.9, 0.1]),
            "basket_id": np.char.mod("b%05d", line),
            "store_id": STORES[user % 3][line],
        }
    )
    events = events.drop_duplicates(["basket_id", "item_id"])
    return events.sort_values(["timestamp", "basket_id"], ignore_index=True)


def _make_examples(now: Frame) -> Frame:
    columns = ["user_id", "timestamp", "basket_id", "store_id"]
    baskets = now.drop_duplicates(["user_id", "basket_id"])[columns].reset_index(drop=True)
    codes = pd.factorize(now["user_id"] + now["basket_id"])[0]
    items = now["item_id"].to_numpy(dtype=object)[np.argsort(codes, kind="stable")]
    ends = np.cumsum(np.bincount(codes, minlength=len(baskets)))
    labels = [row.tolist() for row in np.split(items, ends)[: len(baskets)]]
    return baskets.assign(
        labels=pd.Series(labels, dtype=object), cart=[[] for _ in range(len(baskets))]
    )


def change_events(case: Case, change: Change) -> Case:
    """Return the case whose events are changed, and whose labels follow as labeling writes it."""
    now = change(case.now)
    examples = _make_examples(now)
    return replace(case, now=now, requests=examples, labelled=examples)


def select(frame: Frame, first: int = 0, last: int = DAYS, store: str | None = None) -> pd.Series:
    """Return the rows of a store, or of all, from one day of the window to before another."""
    since, until = (day_of_window(day).tz_localize(ZONE) for day in (first, last))
    inside = (frame["timestamp"] >= since) & (frame["timestamp"] < until)
    return inside if store is None else inside & (frame["store_id"] == store)


def day_of_window(number: int) -> pd.Timestamp:
    """Return a local day of the window, from 0."""
    return START.tz_convert(ZONE).tz_localize(None) + pd.Timedelta(days=number)


def span(first: int = 0, last: int = DAYS) -> dict[str, str]:
    """Return `from` and `to` of a correction of these days; it stays open at the window's end."""
    limits = {"from": f"{day_of_window(first):%Y-%m-%d}", "to": f"{day_of_window(last):%Y-%m-%d}"}
    return limits if last < DAYS else {"from": limits["from"]}


def judge(cause: Cause, case: Case) -> Measured:
    """Return the statistic of a cause with the bound that the window before it gives."""
    if case.past is make_case().past:
        natural = _measure_earlier(cause)
    else:
        natural = None if case.earlier is None else cause.measure(case.earlier)
    return Measured(cause, cause.measure(case), cause.bound(natural))


@cache
def _measure_earlier(cause: Cause) -> float:
    """Return the statistic of the window before that of the default case, once."""
    earlier = make_case().earlier
    assert earlier is not None
    return cause.measure(earlier)


def explain(cause: Cause, case: Case) -> Suspicion:
    """Return the suspicion of a fault that is beyond its bound, and that undoing brings back."""
    measured = judge(cause, case)
    assert measured.excess > 0, (measured.value, measured.bound)
    suspicion = cause.explain(case, measured.bound)
    assert suspicion is not None
    assert suspicion.undo is None or cause.measure(suspicion.undo(case)) <= measured.bound
    return suspicion


def is_silent(cause: Cause, case: Case) -> bool:
    """Return whether a cause stays within its bound."""
    return not judge(cause, case).excess


def appended(suspicion: Suspicion) -> list[dict[str, object]]:
    """Return the members that the first step appends to params.yaml."""
    (step, *_) = suspicion.steps
    assert step.kind == "edit_params"
    return [dict(change.value) for change in step.changes if isinstance(change.value, dict)]


def beyond(case: Case) -> list[str]:
    """Return the names of all causes beyond their bounds."""
    return [cause.name for cause in CATALOGUE if not is_silent(cause, case)]

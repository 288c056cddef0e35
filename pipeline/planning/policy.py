"""Which events will count as wanted, over which windows, and why that fits this source."""

from datetime import timedelta

import numpy as np

from pipeline.contracts.params import Params
from pipeline.contracts.plan import LabelPolicy, Profile
from pipeline.planning.counting import CountingRequests
from pipeline.planning.history import MICROSECONDS_PER_DAY, History


def label_policy(
    profile: Profile, history: History, requests: CountingRequests, params: Params
) -> LabelPolicy:
    """Return labeling's settings beside what this source says about them."""
    labeling = params.labeling
    usable = usable_windows(profile, params)
    return LabelPolicy(
        event_weights={str(name): weight for name, weight in labeling.event_weights.items()},
        train_windows=usable,
        train_window_days=labeling.train_window_days,
        horizon_days=labeling.horizon_days,
        minimum_earlier_baskets=labeling.minimum_earlier_baskets,
        expected_train_examples=usable
        * labeling.train_examples_per_user_window
        * history.n_users(),
        reasons=(
            _about_events(profile, params),
            _about_windows(usable, params),
            _about_horizon(history, params),
            _about_cold_starts(requests, params),
        ),
    )


def usable_windows(profile: Profile, params: Params) -> int:
    """Return how many training windows open after the first event."""
    shop, labeling = params.shop, params.labeling
    validation = shop.as_of - timedelta(days=shop.test_days + shop.validation_days)
    opens = [
        validation - timedelta(days=labeling.train_window_days * (number + 1))
        for number in range(labeling.train_windows)
    ]
    return sum(day > profile.first_day for day in opens)


def _about_events(profile: Profile, params: Params) -> str:
    weights = params.labeling.event_weights
    parts = []
    for name, weight in weights.items():
        there = name in profile.event_types
        if weight:
            parts.append(f"{name} weighs {weight:+g}{'' if there else ' (none in this source)'}")
        elif there:
            parts.append(f"{name} is in the source but weighs nothing")
    return "What was paid for is the surest sign of a wish: " + ", ".join(parts) + "."


def _about_windows(usable: int, params: Params) -> str:
    labeling = params.labeling
    return (
        f"{usable} of {labeling.train_windows} training windows of {labeling.train_window_days} "
        "days have history before them; all close before validation begins."
    )


def _about_horizon(history: History, params: Params) -> str:
    days = params.labeling.horizon_days
    return (
        f"{_gaps_within(history, days):.0%} of a shopper's baskets follow the one before within "
        f"the horizon of {days} days."
    )


def _about_cold_starts(requests: CountingRequests, params: Params) -> str:
    return (
        f"{requests.n_warm:,} baskets of the validation window come from shoppers with at least "
        f"{params.labeling.minimum_earlier_baskets} earlier baskets; the others are measured apart "
        "as cold starts."
    )


def _gaps_within(history: History, days: int) -> float:
    """Return the share of successive baskets of a user that lie at most `days` apart."""
    later = history.basket_order[1:] > 0
    gaps = np.diff(history.basket_time)[later]
    return float((gaps <= days * MICROSECONDS_PER_DAY).mean()) if len(gaps) else 0.0

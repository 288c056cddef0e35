"""The label policy: which events count as wanted, over which windows, and why."""

from datetime import timedelta

import numpy as np

from pipeline.contracts.params import Params
from pipeline.contracts.plan import LabelPolicy, Profile
from pipeline.planning.frequency import PlanningRequests
from pipeline.planning.history import MICROSECONDS_PER_DAY, History


def build_label_policy(
    profile: Profile, history: History, requests: PlanningRequests, params: Params
) -> LabelPolicy:
    """Return the settings of labeling with reasons from this source."""
    labeling = params.labeling
    usable = count_usable_windows(profile, params)
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


def count_usable_windows(profile: Profile, params: Params) -> int:
    """Return the number of training windows that start after the first event."""
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
        is_present = name in profile.event_types
        if weight:
            note = "" if is_present else " (none in this source)"
            parts.append(f"{name} weighs {weight:+g}{note}")
        elif is_present:
            parts.append(f"{name} is in the source but has no weight")
    return "A purchase is the strongest sign of interest: " + ", ".join(parts) + "."


def _about_windows(usable: int, params: Params) -> str:
    labeling = params.labeling
    return (
        f"{usable} of {labeling.train_windows} training windows of {labeling.train_window_days} "
        "days have history before them; all end before validation begins."
    )


def _about_horizon(history: History, params: Params) -> str:
    days = params.labeling.horizon_days
    return (
        f"{_gaps_within(history, days):.0%} of baskets follow the shopper's previous basket within "
        f"the horizon of {days} days."
    )


def _about_cold_starts(requests: PlanningRequests, params: Params) -> str:
    return (
        f"{requests.n_warm:,} baskets of the validation window come from shoppers with at least "
        f"{params.labeling.minimum_earlier_baskets} earlier baskets; the others are cold starts, "
        "which are measured separately."
    )


def _gaps_within(history: History, days: int) -> float:
    """Return the share of a user's consecutive baskets that lie at most `days` apart."""
    later = history.basket_order[1:] > 0
    gaps = np.diff(history.basket_time)[later]
    return float((gaps <= days * MICROSECONDS_PER_DAY).mean()) if len(gaps) else 0.0

"""The cost of each stage, by a linear model of measurements on a machine with two cores.

That machine is the reference: probe.py measures how many times slower another machine is.

seconds = start + lines x millions of event rows + others x millions of other rows
          + users x thousands of users
GiB     = base + lines_gib x millions of event rows + items_gib x hundred thousands of items

Measured on the Complete Journey: 1.47 million event rows, 21 million other rows, 2,454 users and
62,635 items. The constant terms cover imports, validation and the start of services.
"""

from dataclasses import dataclass

from pipeline.contracts.params import Params
from pipeline.contracts.phases import Phase
from pipeline.contracts.plan import Profile, StageCost
from pipeline.planning.estimates import round_number


@dataclass(frozen=True)
class Rate:
    """The coefficients of one stage, in seconds and GiB."""

    start: float
    lines: float
    others: float
    users: float
    base_gib: float
    lines_gib: float
    items_gib: float = 0.0


RATES: dict[Phase, Rate] = {
    "planning": Rate(4, 9, 0.2, 1, 0.4, 0.2),
    "collection": Rate(10, 13, 0.9, 0, 0.6, 0.9),
    "labeling": Rate(5, 15, 0, 0, 0.6, 0.7),
    "training": Rate(30, 0, 0, 72, 1.3, 2.0, 0.3),
    "testing": Rate(12, 0, 0, 13, 1.0, 0.6, 0.3),
    "deployment": Rate(45, 0, 0, 75, 1.6, 2.2, 0.3),
    "monitoring": Rate(20, 0, 0, 27, 1.0, 0.6, 0.3),
}
EXAMPLES_OF_RATES = 48  # train_windows x train_examples_per_user_window of the measurements
FITTING: tuple[Phase, ...] = ("training", "deployment")


def estimate_costs(profile: Profile, params: Params) -> tuple[StageCost, ...]:
    """Return the cost of every stage for a source of this size.

    In stages that fit models, the cost per user grows with the examples per user. The costs ignore
    the settings of training, so that a change there does not run planning again.
    """
    largest = max(profile.n_rows.values())
    n_events = profile.n_rows.get("events", profile.n_rows.get("transactions", largest))
    size = (
        n_events / 1e6,
        (sum(profile.n_rows.values()) - n_events) / 1e6,
        profile.n_users / 1e3,
        profile.n_items / 1e5,
    )
    labeling = params.labeling
    examples = labeling.train_windows * labeling.train_examples_per_user_window
    work = examples / EXAMPLES_OF_RATES
    return tuple(
        _cost(phase, rate, size, work if phase in FITTING else 1.0) for phase, rate in RATES.items()
    )


def _cost(
    phase: Phase, rate: Rate, size: tuple[float, float, float, float], work: float
) -> StageCost:
    lines, others, users, items = size
    seconds = rate.start + rate.lines * lines + rate.others * others + rate.users * users * work
    gib = rate.base_gib + rate.lines_gib * lines + rate.items_gib * items
    return StageCost(stage=phase, minutes=round_number(seconds / 60), memory_gib=round_number(gib))

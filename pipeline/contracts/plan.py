"""The plan: the targets, limits and policies that later stages follow."""

from datetime import date

from pydantic import BaseModel, ConfigDict

from pipeline.contracts import artefacts
from pipeline.contracts.params import GuardrailParams
from pipeline.contracts.phases import Phase


class Part(BaseModel):
    """A frozen part of the plan; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(Part):
    """A number with its confidence interval."""

    value: float
    low: float
    high: float

    def half_width(self) -> float:
        """Return half of the interval's length.

        >>> Estimate(value=0.5, low=0.25, high=0.75).half_width()
        0.25
        """
        return (self.high - self.low) / 2


class Target(Estimate):
    """The value that a model should reach on unseen time, and its derivation from the data."""

    metric: str
    derivation: str


class Missing(Part):
    """A column or table that the source lacks, and the features that its absence disables."""

    name: str
    switched_off: str


class HeavyAccount(Part):
    """An anonymous account with more purchase lines than shop.maximum_user_lines."""

    n_lines: int
    n_baskets: int
    line_fraction: float


class Profile(Part):
    """Statistics of the source.

    Row counts and the span describe the whole source. All other numbers cover the rows before the
    test window that collection keeps.
    """

    source: str
    n_rows: dict[str, int]
    first_day: date
    last_day: date
    history_days: int
    n_lines: int
    n_users: int
    n_items: int
    n_baskets: int
    baskets_per_user: float
    items_per_basket: float
    repeat_fraction_items: float
    repeat_fraction_types: float
    known_user_fraction: float
    sparsity: float
    event_types: tuple[str, ...]
    missing: tuple[Missing, ...]
    heavy_accounts: tuple[HeavyAccount, ...] = ()


class Baseline(Estimate):
    """A frequency baseline on the validation window."""

    name: str


class Reach(Part):
    """The ceiling of a candidate generator.

    `reachable_fraction` is the share of wanted items among its candidates; `best_metric` is the
    primary metric of a perfect ranking of the candidates. Both are means over baskets.
    """

    name: str
    reachable_fraction: float
    best_metric: float


class CurvePoint(Estimate):
    """The best frequency baseline and the popular list, on a fraction of the data.

    `gain_half_width` is half the width of the interval of the gain over the popular list.
    `known_item_fraction` is the share of wanted items that sold in the data.
    """

    fraction: float
    size: float
    popular: float
    gain_half_width: float
    known_item_fraction: float


class LearningCurve(Part):
    """The baseline's primary metric along one axis of data size, with an extrapolation.

    Along weeks, every point covers the same users. Along users, the interval of a point is that of
    its subset.

    The fit is limit - drop * size^-exponent. `hidden_point` tests the extrapolation: it is the
    value at the largest measured size, as predicted from the smaller sizes.
    """

    axis: str
    points: tuple[CurvePoint, ...]
    limit: Estimate
    extrapolated_size: float
    extrapolated: Estimate
    hidden_point: Estimate


class StageCost(Part):
    """The expected cost of a stage on the reference machine of two cores."""

    stage: Phase
    minutes: float
    memory_gib: float


class LabelPolicy(Part):
    """The events that count as positive, their windows, and the reasons for this source."""

    event_weights: dict[str, float]
    train_windows: int
    train_window_days: int
    horizon_days: int
    minimum_earlier_baskets: int
    expected_train_examples: int
    reasons: tuple[str, ...]


class Viability(Part):
    """Whether there is enough data, and whether personalisation is worth its cost.

    `gain` is the lead of the best frequency baseline over the popular list.
    `detectable_improvement` is the smallest difference between two methods that is significant
    with this many users.
    """

    n_requests: int
    n_warm_requests: int
    n_users: int
    gain: Estimate
    minimum_gain: float
    detectable_improvement: float
    needs: tuple[str, ...]


class Plan(Part):
    """The output of planning."""

    objective: str
    primary_metric: str
    target: Target
    baseline: Baseline
    guardrails: GuardrailParams
    profile: Profile
    baselines: tuple[Baseline, ...]
    ceiling: tuple[Reach, ...]
    learning_curves: tuple[LearningCurve, ...]
    viability: Viability
    label_policy: LabelPolicy
    costs: tuple[StageCost, ...]

    def minutes(self) -> float:
        """Return the expected duration of a whole cycle."""
        return sum(cost.minutes for cost in self.costs)

    def memory_gib(self) -> float:
        """Return the largest expected memory of any stage."""
        return max(cost.memory_gib for cost in self.costs)


def read_plan() -> Plan:
    """Return the plan of this cycle.

    Raises:
        ArtefactError: If planning has not run, or its plan is of another version.
    """
    return artefacts.read_record(Plan, artefacts.PLAN)

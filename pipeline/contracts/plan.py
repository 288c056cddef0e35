"""The plan: what later stages hold themselves against. Written once, read by its type."""

from datetime import date

from pydantic import BaseModel, ConfigDict

from pipeline.contracts import artefacts
from pipeline.contracts.params import GuardrailParams
from pipeline.contracts.verdicts import Phase


class Part(BaseModel):
    """A part of the plan: frozen, unknown keys refused."""

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
    """What a model should reach on unseen time, and how that follows from the data."""

    metric: str
    derivation: str


class Missing(Part):
    """A column or table that the source does not have, and what is switched off without it."""

    name: str
    switched_off: str


class HeavyAccount(Part):
    """An account with more purchase lines than shop.maximum_user_lines; nothing says whose."""

    n_lines: int
    n_baskets: int
    line_fraction: float


class Profile(Part):
    """What the source holds.

    Row counts and the span describe the whole source. Everything else is counted before the test
    window, in the rows that collection keeps.
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
    """A counting method on the validation window."""

    name: str


class Reach(Part):
    """How much of what was wanted a candidate generator could offer at all.

    `reachable_fraction` is the share of the wanted items among its candidates, `best_metric` the
    primary metric of a perfect ranking of them; both are means over baskets.
    """

    name: str
    reachable_fraction: float
    best_metric: float


class CurvePoint(Estimate):
    """The best counting method with a share of the data, and the popular list beside it.

    `gain_half_width` is half of the interval of the gain over the popular list, and
    `known_item_fraction` the share of wanted items that sold in the data: no method can offer
    the others.
    """

    fraction: float
    size: float
    popular: float
    gain_half_width: float
    known_item_fraction: float


class LearningCurve(Part):
    """How the baseline's primary metric grows along one axis, and what more would bring.

    Along weeks every point has the same shoppers. Along users its interval is the one that so
    few shoppers give.

    The fit is limit - drop * size^-exponent. `hidden_point` is the largest measured size as the
    fit predicts it from the smaller ones alone: the extrapolation's own test.
    """

    axis: str
    points: tuple[CurvePoint, ...]
    limit: Estimate
    extrapolated_size: float
    extrapolated: Estimate
    hidden_point: Estimate


class StageCost(Part):
    """What a stage is expected to cost on the reference machine of two cores."""

    stage: Phase
    minutes: float
    memory_gib: float


class LabelPolicy(Part):
    """What will count as wanted, over which windows, and why that fits this source."""

    event_weights: dict[str, float]
    train_windows: int
    train_window_days: int
    horizon_days: int
    minimum_earlier_baskets: int
    expected_train_examples: int
    reasons: tuple[str, ...]


class Viability(Part):
    """Is there enough data, and is personalising worth it?

    `gain` is the best counting method over the popular list. `detectable_improvement` is the
    smallest difference between two methods that this many users can tell from chance.
    """

    n_requests: int
    n_warm_requests: int
    n_users: int
    gain: Estimate
    minimum_gain: float
    detectable_improvement: float
    needs: tuple[str, ...]


class Plan(Part):
    """Everything that planning decided."""

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
        """Return what a whole cycle is expected to take."""
        return sum(cost.minutes for cost in self.costs)

    def memory_gib(self) -> float:
        """Return the largest memory that any stage is expected to need."""
        return max(cost.memory_gib for cost in self.costs)


def read_plan() -> Plan:
    """Return the plan of this cycle.

    Raises:
        ArtefactError: Planning has not run, or its plan is of another version.
    """
    from pydantic import ValidationError

    from pipeline.contracts.errors import ArtefactError

    try:
        return Plan.model_validate(artefacts.read_json(artefacts.PLAN))
    except ValidationError as error:
        raise ArtefactError(
            f"a plan of this version in '{artefacts.PLAN.path}'",
            received=f"{error.error_count()} values of another shape",
            action="Run `uv run dvc repro --force planning`.",
        ) from error

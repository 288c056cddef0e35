"""The sections of params.yaml about data: shop, planning, collection and labeling."""

from datetime import UTC, date, datetime, timedelta
from pathlib import PurePosixPath
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.contracts.correction_params import Correction, HeldOut
from pipeline.contracts.params_section import Section


class Windows(BaseModel):
    """The UTC moments that divide time: train < validation <= test <= as_of < production."""

    model_config = ConfigDict(frozen=True)

    validation_start: datetime
    test_start: datetime
    as_of: datetime


class ShopParams(Section):
    """Settings that every stage shares."""

    as_of: date = Field(strict=False)  # a quoted string: DVC does not accept YAML dates
    timezone: str
    currency: str = Field(pattern=r"^[A-Z]{3}$")  # ISO 4217: pages show its sign
    seed: int = Field(ge=0, lt=2**31)
    validation_days: int = Field(ge=1)
    test_days: int = Field(ge=1)
    maximum_user_lines: int = Field(ge=1)

    @field_validator("timezone")
    @classmethod
    def _exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            message = "expected an IANA time zone, such as America/New_York"
            raise ValueError(message) from error
        return value

    def midnight(self, day: date) -> datetime:
        """Return the first moment of the shop's own `day`, in UTC."""
        local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.timezone))
        return local.astimezone(UTC)

    def windows(self) -> Windows:
        """Return the moments that divide time into train, validation, test and production."""
        test_start = self.as_of - timedelta(days=self.test_days)
        validation_start = test_start - timedelta(days=self.validation_days)
        return Windows(
            validation_start=self.midnight(validation_start),
            test_start=self.midnight(test_start),
            as_of=self.midnight(self.as_of),
        )


class GuardrailParams(Section):
    """Limits on the cost, latency, coverage and fairness of a deployable model."""

    p99_latency_ms: float = Field(gt=0)
    serving_memory_gib: float = Field(gt=0)
    cycle_minutes: float = Field(gt=0)
    training_memory_gib: float = Field(gt=0)
    minimum_coverage: float = Field(ge=0, le=1)
    maximum_fairness_gap: float = Field(ge=0, le=1)


class BudgetParams(Section):
    """Whether a cycle that exceeds its guardrails stops or only warns."""

    hard: bool


class PlanningParams(Section):
    """Objective, target, guardrails, and the data that planning requires."""

    objective: str
    primary_metric: Literal["recall@10", "ndcg@10", "hit_rate@10"]
    minimum_gain: float = Field(ge=0)
    target_headroom_fraction: float = Field(ge=0, le=1)
    guardrails: GuardrailParams
    budget: BudgetParams
    minimum_users: int = Field(ge=1)
    minimum_baskets_per_user: float = Field(ge=0)
    minimum_history_days: int = Field(ge=1)
    popular_days: int = Field(ge=1)
    decay_days: tuple[float, ...] = Field(min_length=1, strict=False)
    explore_catalogue: int = Field(ge=1)
    learning_curve_fractions: tuple[float, ...] = Field(min_length=3, strict=False)
    learning_curve_repeats: int = Field(ge=1)
    bootstrap_samples: int = Field(ge=100)


class TableSource(Section):
    """One table of a file source.

    Attributes:
        file: Its file, inside `collection.source.path`.
        columns: The file's name of each contract column.
        dates: Whether day or month comes first in dates such as 03/04/2024; `auto` finds out.
        encoding: Encoding of a text file.
        decimal: The sign before decimals in texts of numbers; `auto` finds out.
    """

    file: str
    dates: Literal["auto", "day_first", "month_first"] = "auto"
    decimal: Literal["auto", "point", "comma"] = "auto"
    encoding: Literal["utf-8", "utf-16", "latin-1"] = "utf-8"
    columns: dict[str, str] = Field(default_factory=dict)

    @field_validator("file")
    @classmethod
    def _is_tracked(cls, file: str) -> str:
        """Reject files outside `collection.source.path`: DVC would not see them change."""
        path = PurePosixPath(file)
        if path.is_absolute() or ".." in path.parts:
            message = (
                "the file must lie in the folder collection.source.path; link or copy it there"
            )
            raise ValueError(message)
        return file


class SourceParams(Section):
    """The source of raw data.

    Attributes:
        kind: `completejourney` is the dataset that installs with the project; `files` reads Parquet
            or CSV files under `path`.
        path: A dependency of planning and collection in dvc.yaml. DVC follows links, and runs both
            stages again when a file in the folder changes.
        begins: The first plausible local day; earlier events are errors. Only for files.
        ends: The first local day that the files do not cover; later events are errors. None means
            366 days after `shop.as_of`.
        tables: The files, and the mapping of their columns to the contract's.
    """

    kind: Literal["completejourney", "files"]
    path: str
    timestamps_are: Literal["utc", "local"] = "utc"
    begins: date = Field(default=date(1990, 1, 1), strict=False)
    ends: date | None = Field(default=None, strict=False)
    tables: dict[Literal["events", "items", "users", "offers"], TableSource] = Field(
        default_factory=dict
    )


class CollectionParams(Section):
    """Settings that turn raw rows into clean, validated, partitioned tables."""

    engine: str
    source: SourceParams
    dropped_departments: tuple[str, ...] = Field(strict=False)
    maximum_quantity: float = Field(gt=0)
    maximum_failure_fraction: float = Field(ge=0, le=1)
    corrections: tuple[Correction, ...] = Field(default=(), strict=False)
    quarantined: tuple[HeldOut, ...] = Field(default=(), strict=False)


class LabelingParams(Section):
    """Event weights, windows, and the limits that examples must meet."""

    event_weights: dict[Literal["view", "cart", "purchase", "return"], float]
    minimum_earlier_baskets: int = Field(ge=0)
    train_windows: int = Field(ge=1)
    train_window_days: int = Field(ge=1)
    train_examples_per_user_window: int = Field(ge=1)
    maximum_user_baskets: int = Field(ge=1)
    horizon_days: int = Field(ge=1)
    cart_fraction: float = Field(ge=0, le=1)
    n_negatives: int = Field(ge=1)
    on_offer_days: int = Field(ge=1)
    bulk_quantile: float = Field(gt=0, lt=1)
    automated_baskets_per_day: float = Field(gt=0)
    automated_interval_variation: float = Field(ge=0)
    automated_minimum_baskets: int = Field(ge=3)
    duplicate_minutes: float = Field(ge=0)
    maximum_doubtful_fraction: float = Field(ge=0, le=1)
    mean_labels: tuple[float, float] = Field(strict=False)
    positive_fraction: tuple[float, float] = Field(strict=False)
    minimum_user_coverage: float = Field(ge=0, le=1)
    minimum_item_coverage: float = Field(ge=0, le=1)
    minimum_department_coverage: float = Field(ge=0, le=1)

    @field_validator("event_weights")
    @classmethod
    def _a_purchase_is_wanted(cls, weights: dict[str, float]) -> dict[str, float]:
        wanted = all(weights.get(name, 0.0) >= 0 for name in ("view", "cart"))
        if not (wanted and weights.get("purchase", 0.0) > 0 and weights.get("return", 0.0) <= 0):
            message = "purchase must be above 0, view and cart at least 0, return at most 0"
            raise ValueError(message)
        return weights

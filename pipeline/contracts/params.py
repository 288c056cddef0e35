"""params.yaml as one frozen object: a section per stage, read once, wrong keys refused.

A stage's functions receive only their own section and the `ShopParams`.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from ruamel.yaml import YAML, YAMLError

from pipeline.contracts.errors import ParamsError

PARAMS_PATH = Path("params.yaml")


class Section(BaseModel):
    """A part of params.yaml: unknown keys and wrong types are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Windows(BaseModel):
    """The moments that divide time, all UTC: train < validation <= test <= as_of < production."""

    model_config = ConfigDict(frozen=True)

    validation_start: datetime
    test_start: datetime
    as_of: datetime


class ShopParams(Section):
    """What every stage must agree on."""

    as_of: date = Field(strict=False)  # a quoted string: DVC takes no YAML dates
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
    """What a deployable model may cost, and what it must not fall below."""

    p99_latency_ms: float = Field(gt=0)
    serving_memory_gib: float = Field(gt=0)
    cycle_minutes: float = Field(gt=0)
    training_memory_gib: float = Field(gt=0)
    minimum_coverage: float = Field(ge=0, le=1)
    maximum_fairness_gap: float = Field(ge=0, le=1)


class BudgetParams(Section):
    """Whether a cycle that costs more than its guardrails is stopped, or warned of."""

    hard: bool


class PlanningParams(Section):
    """Objective, target, guardrails, and how much data is enough."""

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
    """One table of a file source: the file and, per contract column, the file's own column."""

    file: str
    columns: dict[str, str] = Field(default_factory=dict)

    @field_validator("file")
    @classmethod
    def _is_tracked(cls, file: str) -> str:
        """Refuse what lies outside `collection.source.path`: DVC would not see it change."""
        path = PurePosixPath(file)
        if path.is_absolute() or ".." in path.parts:
            message = (
                "the file must lie in the folder collection.source.path; link or copy it there"
            )
            raise ValueError(message)
        return file


class SourceParams(Section):
    """Where raw data comes from.

    `completejourney` is the retailer's year that installs with the project. `files` reads Parquet
    or CSV files under `path`; `tables` names them and maps the contract's columns to theirs. `path`
    is a dependency of planning and collection in dvc.yaml, so it must be given: DVC reads the
    folder wherever it is, through links too, and runs both again when something in it changes.
    `ends` is the first local day that the files do not cover: a later event is an error. Without
    it, what lies more than a year after `shop.as_of` is.
    """

    kind: Literal["completejourney", "files"]
    path: str
    timestamps_are: Literal["utc", "local"] = "utc"
    ends: date | None = Field(default=None, strict=False)
    tables: dict[Literal["events", "items", "users", "offers"], TableSource] = Field(
        default_factory=dict
    )


class CollectionParams(Section):
    """How raw rows become clean, validated, partitioned tables."""

    engine: str
    source: SourceParams
    dropped_departments: tuple[str, ...] = Field(strict=False)
    maximum_quantity: float = Field(gt=0)
    maximum_failure_fraction: float = Field(ge=0, le=1)


class LabelingParams(Section):
    """Which events count, with what weight, over which windows, and what an example is."""

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


Fraction = Annotated[float, Field(gt=0, lt=1)]


class FamilySection(Section):
    """What every family's section has: how long and how fast to learn."""

    epochs: int = Field(ge=1)
    patience: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class RankerParams(FamilySection):
    """The temporal ranker; its encoder is the family that `training.families` names."""

    n_ages: int = Field(ge=2)
    kind_dim: int = Field(ge=1)
    encoder_dim: int = Field(ge=1)
    n_networks: int = Field(ge=1)
    n_crosses: int = Field(ge=0)
    cross_rank: int = Field(ge=1)
    hidden_dims: tuple[int, ...] = Field(strict=False)
    dropout: float = Field(ge=0, lt=1)
    embedding_dim: int = Field(ge=1)
    explore_catalogue: int = Field(ge=1)
    maximum_candidates: int = Field(ge=10)
    learning_curve_fractions: tuple[Fraction, ...] = Field(strict=False)
    explore_epochs: int = Field(ge=1)
    explore_batch_size: int = Field(ge=1)
    explore_learning_rate: float = Field(gt=0)
    item_vectors: Literal["scratch", "frozen", "finetuned", "initialised"]


class SasrecParams(FamilySection):
    """Self-attention over the sequence of purchases."""

    embedding_dim: int = Field(ge=1)
    n_blocks: int = Field(ge=1)
    n_heads: int = Field(ge=1)
    max_length: int = Field(ge=2)
    dropout: float = Field(ge=0, lt=1)
    loss: Literal["sampled_softmax", "gbce"]
    n_negatives: int = Field(ge=1)
    negative_power: float = Field(ge=0, le=1)
    gbce_calibration: float = Field(ge=0, le=1)
    maximum_items: int = Field(ge=1)
    explore_catalogue: int = Field(ge=1)

    @field_validator("n_heads")
    @classmethod
    def _divides(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("embedding_dim", 0) % value:
            message = "expected a divisor of embedding_dim"
            raise ValueError(message)
        return value


class BagParams(FamilySection):
    """What the families that see a shopper as a bag of items have in common."""

    embedding_dim: int = Field(ge=1)
    decay_days: float = Field(gt=0)
    maximum_items: int = Field(ge=1)
    explore_catalogue: int = Field(ge=1)


class MultVaeParams(BagParams):
    """An autoencoder of the bag."""

    latent_dim: int = Field(ge=1)
    input_dropout: float = Field(ge=0, lt=1)
    reconstruction_weight: float = Field(ge=0)
    kl_weight: float = Field(ge=0)
    annealing_steps: int = Field(ge=1)


class LightGcnParams(BagParams):
    """Vectors spread over the graph of who bought what."""

    n_layers: int = Field(ge=1)


class Item2VecParams(BagParams):
    """Vectors of items from their company in baskets."""

    n_negatives: int = Field(ge=1)
    frequent_share: float = Field(gt=0, le=1)


class IrganParams(BagParams):
    """A generator of hard negatives against a discriminator."""

    n_negatives: int = Field(ge=2)
    entropy_weight: float = Field(ge=0)


class BaselineParams(Section):
    """The classical recommenders that the ranker has to beat."""

    popular_days: int = Field(ge=1)
    decay_days: float = Field(gt=0)
    contextual_decay_days: float = Field(gt=0)
    contextual_hour_width: float = Field(gt=0)
    contextual_other_hour: float = Field(ge=0, le=1)
    contextual_other_day: float = Field(ge=0, le=1)
    contextual_other_store: float = Field(ge=0, le=1)
    tifu_group_baskets: int = Field(ge=1)
    tifu_within_decay: float = Field(gt=0, le=1)
    tifu_group_decay: float = Field(gt=0, le=1)
    tifu_neighbours: int = Field(ge=1)
    tifu_alpha: float = Field(ge=0, le=1)


class FamiliesParams(Section):
    """How each family of deep recommenders learns."""

    popular_days: int = Field(ge=1)
    ranker: RankerParams
    sasrec: SasrecParams
    multvae: MultVaeParams
    lightgcn: LightGcnParams
    item2vec: Item2VecParams
    irgan: IrganParams

    def of(self, name: str) -> FamilySection:
        """Return the section of a family; those that are history encoders share `ranker`."""
        section: FamilySection = getattr(self, name, self.ranker)
        return section

    def without_learning_curve(self) -> "FamiliesParams":
        """Return the same, but the ranker is not also fitted on parts of the shoppers."""
        ranker = self.ranker.model_copy(update={"learning_curve_fractions": ()})
        return self.model_copy(update={"ranker": ranker})


class TrainingParams(Section):
    """Which families are fitted, and the baselines that they have to beat."""

    families: tuple[str, ...] = Field(strict=False, min_length=1)
    baselines: BaselineParams


class DiagnosisParams(Section):
    """When a number points to a disease of the fit."""

    n_requests: int = Field(ge=10)
    n_suspicious_labels: int = Field(ge=0)
    maximum_feature_auc: float = Field(gt=0.5, le=1)
    maximum_start_deviation_fraction: float = Field(gt=0)
    maximum_gradient_ratio: float = Field(gt=1)
    minimum_gradient: float = Field(ge=0)
    maximum_dead_fraction: float = Field(ge=0, le=1)
    maximum_saturated_fraction: float = Field(ge=0, le=1)
    maximum_batch_loss_left: float = Field(gt=0)
    maximum_overfit_fraction: float = Field(gt=0)
    maximum_last_epoch_gain_fraction: float = Field(gt=0)
    surest_fraction: float = Field(gt=0, lt=1)
    maximum_label_noise_fraction: float = Field(gt=0, lt=1)
    maximum_doubling_gain_fraction: float = Field(gt=0)


class TestingParams(Section):
    """How candidates are measured on unseen time."""

    __test__ = False

    cutoffs: tuple[int, ...] = Field(strict=False, min_length=2)
    bootstrap_samples: int = Field(ge=100)
    confidence: float = Field(gt=0.5, lt=1)
    n_reference_bins: int = Field(ge=2)
    diagnosis: DiagnosisParams


class DeploymentParams(Section):
    """How the bundle is proved before it becomes the champion."""

    registered_model: str
    n_golden_requests: int = Field(ge=1)
    score_tolerance: float = Field(gt=0)
    load_requests_per_second: float = Field(gt=0)
    load_seconds: float = Field(gt=0)
    ready_timeout_seconds: float = Field(gt=0)


class CanaryParams(Section):
    """When a canary is stopped by itself; each canary keeps those that it was started with."""

    minimum_requests: int = Field(ge=1)
    false_stop_probability: float = Field(gt=0, lt=1)
    maximum_slowdown: float = Field(ge=1)


class ServingParams(Section):
    """What the endpoint offers."""

    host: str
    port: int = Field(ge=1, le=65535)
    event_store: str
    retention_days: int = Field(ge=1)
    default_k: int = Field(ge=1)
    maximum_k: int = Field(ge=1)
    explore_slots: int = Field(ge=0)
    explore_policy: Literal["top", "sampled"]
    explore_temperature: float = Field(gt=0)
    explore_candidates: int = Field(ge=1)
    diversity: float = Field(ge=0, le=1)
    distinct_titles: Literal["off", "newcomers", "all"]
    bought_hours: float = Field(ge=0, le=168)
    maximum_body_kib: int = Field(ge=1)
    timeout_seconds: int = Field(ge=1, le=2)  # BentoML's own timer ends after 3
    cart_hours: float = Field(ge=0)
    viewed_minutes: float = Field(ge=0)
    keep_minutes: float = Field(ge=0, le=60)
    keep_shoppers: int = Field(ge=1)
    keys: str
    audit_log: str
    requests_per_second_per_key: float = Field(ge=0)
    requests_per_second_per_address: float = Field(ge=0)
    cors_origins: list[Annotated[str, Field(pattern=r"^https?://[^/\s*]+$")]]
    log_format: Literal["text", "json"]
    log_level: Literal["debug", "info", "warning", "error"]
    storefront: bool
    canary: CanaryParams


class MonitoringParams(Section):
    """What traffic is replayed, and when drift is an alarm."""

    replay_days: int = Field(ge=1)
    maximum_requests: int = Field(ge=1)
    psi_warning: float = Field(gt=0)
    psi_alarm: float = Field(gt=0)
    psi_broken: float = Field(gt=0)
    maximum_unknown_fraction: float = Field(ge=0, le=1)
    maximum_volume_ratio: float = Field(gt=1)
    maximum_failed_fraction: float = Field(ge=0, le=1)
    maximum_quality_loss_fraction: float = Field(ge=0, le=1)
    confidence: float = Field(gt=0, lt=1)
    bootstrap_samples: int = Field(ge=100)


class TrackingParams(Section):
    """Where runs are recorded."""

    uri: str
    artifacts: str
    experiment: str


class Params(Section):
    """All of params.yaml."""

    shop: ShopParams
    planning: PlanningParams
    collection: CollectionParams
    labeling: LabelingParams
    families: FamiliesParams
    training: TrainingParams
    testing: TestingParams
    deployment: DeploymentParams
    serving: ServingParams
    monitoring: MonitoringParams
    tracking: TrackingParams


def read_params(path: Path = PARAMS_PATH) -> Params:
    """Return the checked contents of params.yaml.

    Raises:
        ParamsError: The file is missing, is not YAML, or holds an unknown key or a wrong type.
    """
    try:
        raw: Any = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ParamsError(
            f"'{path}' in the working directory",
            received="no such file",
            action="Run the command from the project's root.",
        ) from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(
            f"YAML in '{path}'",
            received=str(error).replace("\n", " "),
            action="Correct the line that is named.",
        ) from error
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ParamsError(
            f"the keys and types of pipeline/contracts/params.py in '{path}'",
            received=_describe(error),
            action="Correct these values.",
        ) from error


def _describe(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']} (got {item['input']!r:.80})"
        for item in error.errors()
    )

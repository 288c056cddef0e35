"""The sections of params.yaml about models: families, training and testing."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from pipeline.contracts.params_section import Section

Fraction = Annotated[float, Field(gt=0, lt=1)]


class FamilySection(Section):
    """Settings that every family shares: the length and rate of learning."""

    epochs: int = Field(ge=1)
    patience: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class RankerParams(FamilySection):
    """The temporal ranker; `training.families` names its encoder."""

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
    """Settings that families with a bag-of-items view of a user share."""

    embedding_dim: int = Field(ge=1)
    decay_days: float = Field(gt=0)
    maximum_items: int = Field(ge=1)
    explore_catalogue: int = Field(ge=1)


class MultVaeParams(BagParams):
    """Mult-VAE: an autoencoder of the bag."""

    latent_dim: int = Field(ge=1)
    input_dropout: float = Field(ge=0, lt=1)
    reconstruction_weight: float = Field(ge=0)
    kl_weight: float = Field(ge=0)
    annealing_steps: int = Field(ge=1)


class LightGcnParams(BagParams):
    """LightGCN: vectors propagated over the user-item graph."""

    n_layers: int = Field(ge=1)


class Item2VecParams(BagParams):
    """Item2Vec: item vectors from co-occurrence in baskets."""

    n_negatives: int = Field(ge=1)
    frequent_share: float = Field(gt=0, le=1)


class IrganParams(BagParams):
    """IRGAN: a generator of hard negatives against a discriminator."""

    n_negatives: int = Field(ge=2)
    entropy_weight: float = Field(ge=0)


class BaselineParams(Section):
    """The classical recommenders that the ranker must beat."""

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
    """Training settings of each family of deep recommenders."""

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
        """Return the same settings without the ranker's fits on subsets of users."""
        ranker = self.ranker.model_copy(update={"learning_curve_fractions": ()})
        return self.model_copy(update={"ranker": ranker})


class TrainingParams(Section):
    """The families to fit, and the baselines that they must beat."""

    families: tuple[str, ...] = Field(strict=False, min_length=1)
    baselines: BaselineParams


class DiagnosisParams(Section):
    """Thresholds at which a number points to a failure mode of the fit."""

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
    """Settings of the evaluation on unseen time."""

    __test__ = False

    cutoffs: tuple[int, ...] = Field(strict=False, min_length=2)
    bootstrap_samples: int = Field(ge=100)
    confidence: float = Field(gt=0.5, lt=1)
    n_reference_bins: int = Field(ge=2)
    diagnosis: DiagnosisParams

"""The numbers of a family's fit, which training compares and testing diagnoses."""

from typing import Any

from pydantic import Field

from pipeline.contracts.records import Record


def _is_absent(value: Any) -> bool:
    return value is None or value in ({}, ())


class DataShare(Record):
    """The score of a network that was fitted on a fraction of the users."""

    fraction: float
    score: float


class LastGain(Record):
    """The gain of the last part of the data, and its standard error over users."""

    difference: float
    error: float


class FitProbe(Record):
    """Debugging numbers of a fitted part; what its family does not record is absent.

    Attributes:
        loss_at_start: Loss of the first batch.
        loss_at_end: Training loss of the epoch that was kept.
        expected_loss_at_start: Loss of equal scores.
        gradient_median: Largest median norm of the gradient of any epoch.
        gradient_largest: Largest norm of any gradient.
        gradient_ratio: Largest norm against the median, in the worst epoch.
        dead_fraction: Share of ReLU units that are 0 on a whole batch.
        saturated_fraction: Share of saturated inputs and recurrent outputs.
        batch_loss_left: Share of the loss above its floor that remains after overfitting a batch.
        feature_auc: Area under the curve of each feature alone.
        learning_curve: Scores by share of the users, in ascending order; the last has all users.
        last_gain: Difference of the last two scores.
    """

    loss_at_start: float | None = Field(default=None, exclude_if=_is_absent)
    loss_at_end: float | None = Field(default=None, exclude_if=_is_absent)
    expected_loss_at_start: float | None = Field(default=None, exclude_if=_is_absent)
    gradient_median: float | None = Field(default=None, exclude_if=_is_absent)
    gradient_largest: float | None = Field(default=None, exclude_if=_is_absent)
    gradient_ratio: float | None = Field(default=None, exclude_if=_is_absent)
    dead_fraction: float | None = Field(default=None, exclude_if=_is_absent)
    saturated_fraction: float | None = Field(default=None, exclude_if=_is_absent)
    batch_loss_left: float | None = Field(default=None, exclude_if=_is_absent)
    feature_auc: dict[str, float] = Field(default_factory=dict, exclude_if=_is_absent)
    learning_curve: tuple[DataShare, ...] = Field(default=(), exclude_if=_is_absent)
    last_gain: LastGain | None = Field(default=None, exclude_if=_is_absent)


class FitMetrics(Record):
    """The numbers of a fit by part of the family.

    Attributes:
        n_examples: Number of training examples.
        epochs: Epoch of the final weights, from 1.
        loss: Training loss of that epoch.
        stopped_by: Validation score of that epoch; None without one.
        probe: Debugging numbers.
    """

    n_examples: int
    epochs: dict[str, int]
    loss: dict[str, float]
    stopped_by: dict[str, float | None]
    probe: dict[str, FitProbe]

    @property
    def main_probe(self) -> FitProbe:
        """The debugging numbers of the main part, empty without any part."""
        main = "network" if "network" in self.probe else next(iter(sorted(self.probe)), "")
        return self.probe.get(main, FitProbe())


class FamilyMetrics(FitMetrics):
    """reports/training/families/<name>/metrics.json.

    Attributes:
        validation: Quality on rolling validation, by metric.
    """

    validation: dict[str, float]


class TrainingReport(FitMetrics):
    """reports/training/metrics.json: the fit of the best family, and all qualities.

    Attributes:
        family: Name of the best family.
        validation: Quality on rolling validation of each family and baseline, by metric.
    """

    family: str
    validation: dict[str, dict[str, float]]

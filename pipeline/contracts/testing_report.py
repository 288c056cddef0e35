"""The numbers of testing that refit, monitoring and the lifecycle read."""

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from pipeline.contracts.artefacts import TEST_METRICS
from pipeline.contracts.errors import ArtefactError
from pipeline.contracts.phases import Phase
from pipeline.contracts.records import Record
from pipeline.contracts.verdicts import Evidence

FindingStatus = Literal["healthy", "suspected", "unknown"]


class MetricSummary(Record):
    """Each metric of a candidate: its mean over requests, its interval, its mean over users.

    In JSON the means over requests stand beside `interval` and `mean_over_users`, which cover the
    metrics that are resampled. A metric without any label is null.
    """

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, float | None] = Field(init=False)
    interval: dict[str, tuple[float, float]]
    mean_over_users: dict[str, float]

    @property
    def values(self) -> dict[str, float | None]:
        """The mean over requests of each metric."""
        return self.__pydantic_extra__

    def mean(self, metric: str) -> float:
        """Return the mean over requests of a metric.

        Raises:
            ArtefactError: If the metric was not measured.
        """
        value = self.values.get(metric)
        if value is None:
            raise ArtefactError(
                f"the metric '{metric}' in '{TEST_METRICS.path}'",
                received=f"no value among {', '.join(self.values)}",
                action=f"Write it again: `uv run dvc repro {TEST_METRICS.stage}`.",
            )
        return value

    @model_validator(mode="after")
    def _an_interval_is_around_a_mean(self) -> "MetricSummary":
        for part in (self.interval, self.mean_over_users):
            missing = [name for name in part if self.values.get(name) is None]
            if missing:
                raise ValueError(f"expected a mean of {', '.join(missing)}, got none")
        return self


class PairedDifference(Record):
    """The difference of two candidates on the same requests, with its interval."""

    difference: float
    low: float
    high: float


class ProtocolSummaries(Record):
    """The metrics of one candidate, per protocol (pipeline/testing/protocols.py)."""

    rolling: MetricSummary
    rolling_without_context: MetricSummary
    first_basket: MetricSummary

    def of(self, protocol: str) -> MetricSummary:
        """Return the metrics of one protocol."""
        summary: MetricSummary = getattr(self, protocol)
        return summary


class OtherCandidate(ProtocolSummaries):
    """A candidate that is not the champion, and the champion's lead over it.

    Attributes:
        paired: Champion minus candidate, by protocol and metric.
    """

    paired: dict[str, dict[str, PairedDifference]]


class FairnessGap(Record):
    """The gap between the mean and the worst-served group of people.

    Attributes:
        gap_fraction: Gap as a fraction of the mean; 0 if no group lies below it.
        group: Kind and name of the worst group; "" for none.
        n: Requests of the group.
        value: Mean of the group, with `low` and `high` of its interval; None for no group.
    """

    gap_fraction: float
    group: str = ""
    n: int = 0
    value: float | None = None
    low: float | None = None
    high: float | None = None


class RecordedFinding(Record):
    """A finding of the diagnosis (pipeline/testing/diagnosis/finding.py)."""

    verdict: FindingStatus
    cause: str
    target_phase: Phase | None
    action: str | None
    evidence: tuple[Evidence, ...]


class SliceSummary(Record):
    """The primary metric of one slice, under its own name, with its interval.

    Attributes:
        n: Requests of the slice.
        interval: Interval of the metric.
    """

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, float] = Field(init=False)
    n: int
    interval: tuple[float, float]


class TestReport(ProtocolSummaries):
    """reports/testing/metrics.json: the champion, and what it was compared with.

    Attributes:
        champion: Name of the champion; the metrics at this level are its own.
        baselines: The other candidates by name.
        n_requests: Requests by protocol.
        n_users: Users by protocol.
        served: The champion's lists as served, with explore slots.
        context_gain: Gain of the champion from time and store, by metric.
        fairness_gap: `fairness.gap_fraction`.
        fairness: The worst-served group of people.
        slices: The champion by kind of request and group of people.
        diagnosis: Findings about the deep candidate by name.
    """

    __test__ = False  # pytest takes a class of this name for a test

    champion: str
    baselines: dict[str, OtherCandidate]
    n_requests: dict[str, int]
    n_users: dict[str, int]
    served: MetricSummary
    context_gain: dict[str, PairedDifference]
    fairness_gap: float
    fairness: FairnessGap
    slices: dict[str, SliceSummary]
    diagnosis: dict[str, RecordedFinding]

    @property
    def candidates(self) -> dict[str, ProtocolSummaries]:
        """All candidates by name, the champion first."""
        return {self.champion: self, **self.baselines}

"""A test report with made-up numbers, as testing writes it."""

from collections.abc import Mapping
from typing import Any

from pipeline.contracts.testing_report import (
    FairnessGap,
    MetricSummary,
    OtherCandidate,
    PairedDifference,
    RecordedFinding,
    TestReport,
)
from pipeline.testing.protocols import TITLES

PAIRED = ("recall@10", "ndcg@10", "hit_rate@10")
LEAD = PairedDifference(difference=0.1, low=0.09, high=0.11)


def make_summary(recall: float = 0.2, coverage: float = 0.3) -> MetricSummary:
    """Return metrics of this recall, with an interval of 0.01 to each side."""
    names = (*PAIRED, "repeat_recall@10", "explore_recall@10", "explore_slots_recall@10")
    means = dict.fromkeys(names, recall)
    return MetricSummary(
        **means,
        **{"coverage@10": coverage, "novelty@10": 11.0, "popularity_bias@10": 3.0},
        interval=dict.fromkeys(names, (recall - 0.01, recall + 0.01)),
        mean_over_users=means,
    )


def make_report(
    champion: str,
    recalls: Mapping[str, float],
    *,
    coverage: float = 0.3,
    fairness: FairnessGap = FairnessGap(gap_fraction=0.1),  # noqa: B008  frozen
    diagnosis: Mapping[str, RecordedFinding] | None = None,
) -> TestReport:
    """Return a report on candidates of these recalls, the champion among them."""

    def by_protocol(name: str) -> dict[str, Any]:
        return dict.fromkeys(TITLES, make_summary(recalls[name], coverage))

    return TestReport(
        champion=champion,
        **by_protocol(champion),
        baselines={
            name: OtherCandidate(
                **by_protocol(name), paired=dict.fromkeys(TITLES, dict.fromkeys(PAIRED, LEAD))
            )
            for name in recalls
            if name != champion
        },
        n_requests=dict.fromkeys(TITLES, 9),
        n_users=dict.fromkeys(TITLES, 9),
        served=make_summary(recalls[champion]),
        context_gain=dict.fromkeys(PAIRED, LEAD),
        fairness_gap=fairness.gap_fraction,
        fairness=fairness,
        slices={},
        diagnosis=dict(diagnosis or {}),
    )

"""Compare all candidates on the same requests and resampled users, per protocol."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.params import ServingParams, TestingParams
from pipeline.contracts.testing_report import (
    MetricSummary,
    OtherCandidate,
    PairedDifference,
    TestReport,
)
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.recommenders.base.recommender import Recommender
from pipeline.testing.measure import (
    EvaluationSet,
    Predictions,
    beyond_accuracy,
    compute_metrics,
    predict,
    summarise_values,
)
from pipeline.testing.protocols import TITLES

Doubles = npt.NDArray[np.float64]
PAIRED = ("recall@10", "ndcg@10", "hit_rate@10")


@dataclass(frozen=True)
class Protocol:
    """Results of one protocol: evaluation set, resampled users, and values per candidate."""

    evaluation_set: EvaluationSet
    bootstrap: Bootstrap
    values: dict[str, dict[str, Doubles]]
    predictions: dict[str, Predictions]


def evaluate(
    candidates: Mapping[str, Recommender],
    evaluation_set: EvaluationSet,
    params: TestingParams,
    serving: ServingParams,
    seed: int,
) -> Protocol:
    """Return the predictions and metrics of every candidate."""
    user = np.unique(
        evaluation_set.examples["user_id"].to_numpy(dtype=object), return_inverse=True
    )[1]
    bootstrap = Bootstrap.of(user, params.bootstrap_samples, params.confidence, seed)
    values, predictions = {}, {}
    for name, candidate in candidates.items():
        predictions[name] = predict(
            candidate,
            evaluation_set,
            k=max(params.cutoffs),
            served_k=serving.default_k,
            explore_slots=serving.explore_slots,
        )
        values[name] = compute_metrics(predictions[name], evaluation_set, params.cutoffs)
    return Protocol(evaluation_set, bootstrap, values, predictions)


def summarise(protocol: Protocol, popularity: Doubles, k: int) -> dict[str, MetricSummary]:
    """Return the summary of each candidate for the test report."""
    return {
        name: summarise_values(
            values,
            protocol.bootstrap,
            beyond_accuracy(protocol.predictions[name].plain.items, popularity, k),
        )
        for name, values in protocol.values.items()
    }


def lead(protocol: Protocol, ours: str, theirs: str) -> dict[str, PairedDifference]:
    """Return the paired difference of two candidates in each metric of PAIRED."""
    return {
        metric: PairedDifference(
            **protocol.bootstrap.paired(
                protocol.values[ours][metric], protocol.values[theirs][metric]
            )
        )
        for metric in PAIRED
    }


def context_gain(known: Protocol, unknown: Protocol, candidate: str) -> dict[str, PairedDifference]:
    """Return a candidate's paired gain from the context, on the same requests.

    Args:
        known: Results with time and store known.
        unknown: Results on the same requests with both withheld.
        candidate: Name of the candidate.
    """
    return {
        metric: PairedDifference(
            **known.bootstrap.paired(
                known.values[candidate][metric], unknown.values[candidate][metric]
            )
        )
        for metric in PAIRED
    }


def served_quality(protocol: Protocol, champion: str, k: int) -> MetricSummary:
    """Return the quality of the served lists: with explore slots, at the default length."""
    from pipeline.metrics import ranking

    evaluation_set = protocol.evaluation_set
    hits = ranking.hit_matrix(
        protocol.predictions[champion].served.items,
        evaluation_set.label_row,
        evaluation_set.label_item,
    )
    values = {
        f"recall@{k}": ranking.recall_at_k(hits, evaluation_set.n_true, k),
        f"ndcg@{k}": ranking.ndcg_at_k(hits, evaluation_set.n_true, k),
        f"hit_rate@{k}": ranking.hit_rate_at_k(hits, evaluation_set.n_true, k),
    }
    return summarise_values(values, protocol.bootstrap)


def build_other_candidates(
    champion: str,
    summaries: Mapping[str, Mapping[str, MetricSummary]],
    protocols: Mapping[str, Protocol],
) -> dict[str, OtherCandidate]:
    """Return every candidate but the champion, with the champion's lead over it.

    Args:
        champion: Name of the champion.
        summaries: Summaries per protocol and candidate, from `summarise`.
        protocols: Results by name of the protocol.
    """
    names = [name for name in next(iter(summaries.values())) if name != champion]
    return {
        name: OtherCandidate(
            **{protocol: by_candidate[name] for protocol, by_candidate in summaries.items()},
            paired={
                protocol: lead(results, champion, name) for protocol, results in protocols.items()
            },
        )
        for name in names
    }


def build_comparison(report: TestReport) -> pd.DataFrame:
    """Return one row per candidate, protocol and main metric, for the DVC plot."""
    rows = []
    for name, candidate in report.candidates.items():
        for protocol in TITLES:
            summary = candidate.of(protocol)
            for metric in PAIRED:
                low, high = summary.interval[metric]
                rows.append([name, protocol, metric, summary.mean(metric), low, high])
    columns = ["candidate", "protocol", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns).round(8)

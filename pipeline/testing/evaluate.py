"""All candidates on both protocols, on the same requests, with the same resampled users."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts.params import ServingParams, TestingParams
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.recommenders.base.recommender import Recommender
from pipeline.testing.measure import (
    EvaluationSet,
    Predictions,
    answers_of,
    beyond_accuracy,
    summary,
    values_of,
)
from pipeline.testing.protocols import TITLES

Doubles = npt.NDArray[np.float64]
PAIRED = ("recall@10", "ndcg@10", "hit_rate@10")


@dataclass(frozen=True)
class Protocol:
    """One protocol: its questions, the resampled users, and every candidate's values."""

    questions: EvaluationSet
    bootstrap: Bootstrap
    values: dict[str, dict[str, Doubles]]
    answers: dict[str, Predictions]


def evaluate(
    candidates: Mapping[str, Recommender],
    questions: EvaluationSet,
    params: TestingParams,
    serving: ServingParams,
    seed: int,
) -> Protocol:
    """Return the answers of every candidate and what they are worth."""
    user = np.unique(questions.examples["user_id"].to_numpy(dtype=object), return_inverse=True)[1]
    bootstrap = Bootstrap.of(user, params.bootstrap_samples, params.confidence, seed)
    values, answers = {}, {}
    for name, candidate in candidates.items():
        answers[name] = answers_of(
            candidate,
            questions,
            k=max(params.cutoffs),
            served_k=serving.default_k,
            explore_slots=serving.explore_slots,
        )
        values[name] = values_of(answers[name], questions, params.cutoffs)
    return Protocol(questions, bootstrap, values, answers)


def summaries(protocol: Protocol, popularity: Doubles, k: int) -> dict[str, dict[str, Any]]:
    """Return what goes into metrics.json for each candidate."""
    return {
        name: summary(values, protocol.bootstrap)
        | beyond_accuracy(protocol.answers[name].plain.items, popularity, k)
        for name, values in protocol.values.items()
    }


def lead(protocol: Protocol, ours: str, theirs: str) -> dict[str, dict[str, float]]:
    """Return the paired difference of two candidates in each metric of PAIRED."""
    return {
        metric: protocol.bootstrap.paired(
            protocol.values[ours][metric], protocol.values[theirs][metric]
        )
        for metric in PAIRED
    }


def gain_of(known: Protocol, unknown: Protocol, candidate: str) -> dict[str, dict[str, float]]:
    """Return what a candidate gains by knowing the context: paired, on the same requests.

    Args:
        known: Time and store known.
        unknown: The same questions with both withheld.
        candidate: Which.
    """
    return {
        metric: known.bootstrap.paired(
            known.values[candidate][metric], unknown.values[candidate][metric]
        )
        for metric in PAIRED
    }


def served_quality(protocol: Protocol, champion: str, k: int) -> dict[str, Any]:
    """Return the quality of what would be served: with explore slots, at the default length."""
    from pipeline.metrics import ranking

    questions = protocol.questions
    hits = ranking.hit_matrix(
        protocol.answers[champion].served.items, questions.label_row, questions.label_item
    )
    values = {
        f"recall@{k}": ranking.recall_at_k(hits, questions.n_true, k),
        f"ndcg@{k}": ranking.ndcg_at_k(hits, questions.n_true, k),
        f"hit_rate@{k}": ranking.hit_rate_at_k(hits, questions.n_true, k),
    }
    return summary(values, protocol.bootstrap)


def metrics_of(
    champion: str, found: Mapping[str, dict[str, dict[str, Any]]], protocols: Mapping[str, Protocol]
) -> dict[str, Any]:
    """Return metrics.json: the champion at the top, every other candidate under `baselines`.

    Args:
        champion: Which candidate won.
        found: Per protocol and candidate, from `summaries`.
        protocols: By name.
    """
    others = [name for name in next(iter(found.values())) if name != champion]
    return {
        "champion": champion,
        **{name: per_candidate[champion] for name, per_candidate in found.items()},
        "n_requests": {name: len(p.questions.examples) for name, p in protocols.items()},
        "n_users": {name: int(p.bootstrap.weights.shape[1]) for name, p in protocols.items()},
        "baselines": {
            other: {name: per_candidate[other] for name, per_candidate in found.items()}
            | {"paired": {name: lead(p, champion, other) for name, p in protocols.items()}}
            for other in others
        },
    }


def comparison(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per candidate, protocol and main metric, for the DVC plot."""
    rows = []
    entries = {metrics["champion"]: metrics, **metrics["baselines"]}
    for name, entry in entries.items():
        for protocol in TITLES:
            for metric in PAIRED:
                low, high = entry[protocol]["interval"][metric]
                rows.append([name, protocol, metric, entry[protocol][metric], low, high])
    columns = ["candidate", "protocol", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns).round(8)

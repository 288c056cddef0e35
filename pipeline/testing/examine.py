"""Diagnose the deep candidate: inputs, findings, and labels to review."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.family_metrics import FamilyMetrics
from pipeline.contracts.params import DiagnosisParams
from pipeline.contracts.review_ids import review_id
from pipeline.contracts.testing_report import RecordedFinding
from pipeline.recommenders.base.histories import Histories, build_histories
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.names import HISTORY_ENCODERS
from pipeline.testing.comparison import Protocol
from pipeline.testing.diagnosis.diagnose import Inputs, diagnose
from pipeline.testing.diagnosis.finding import Finding
from pipeline.testing.diagnosis.label_noise import (
    ScoredCandidates,
    estimate_noise_by_group,
    find_suspicious,
)
from pipeline.testing.evaluation_inputs import (
    METRIC,
    EvaluationTables,
    as_of,
    draw_sample,
    measure_gap,
    score_candidates,
    select_rolling,
)
from pipeline.testing.lookahead import check_look_ahead
from pipeline.testing.measure import EvaluationSet

HISTORY = {0: "0 to 9", 10: "10 to 29", 30: "30 to 99", 100: "100 or more"}
REASON = "the model finds it unlikely"
REVIEW_COLUMNS = [
    "example_id",
    "basket_id",
    "item_id",
    "reason",
    "decision",
    "split",
    "probability",
    "against_chance",
]


@dataclass(frozen=True)
class Examination:
    """Findings of the diagnosis, with their inputs and the tables for people."""

    findings: tuple[Finding, ...]
    inputs: Inputs
    suspicious: pd.DataFrame
    noise: pd.DataFrame

    def records(self) -> dict[str, RecordedFinding]:
        """Return the findings by name, for the test report."""
        return {finding.name: finding.record() for finding in self.findings}


def examine(
    family: str,
    candidates: Mapping[str, GraphRecommender],
    rolling: Protocol,
    tables: EvaluationTables,
    params: DiagnosisParams,
) -> Examination:
    """Return the diagnosis of the deep candidate.

    Args:
        family: Name of the deep candidate.
        candidates: All candidates by name.
        rolling: Their results on the test window.
        tables: Tables that requests are built from.
        params: Sample sizes and bounds.
    """
    model, examples = candidates[family], rolling.evaluation_set.examples
    histories = build_histories(
        tables.events, model.vocabulary, maximum_lines=tables.shop.maximum_user_lines
    )
    baseline = choose_baseline(family, rolling)
    part = draw_sample(examples, params.n_requests, tables.shop.seed)
    unseen = tables.build_evaluation_set(part, histories, model.vocabulary)
    scored = score_candidates(model, unseen)
    pair = {name: candidates[name] for name in (family, baseline)}
    fit = artefacts.read_record(FamilyMetrics, artefacts.family_metrics(family))
    inputs = Inputs(
        probe=fit.main_probe,
        curve=_main_curve(pd.read_csv(artefacts.family_curve(family).existing())),
        groups=_groups(family),
        gap=measure_gap(pair, rolling, tables, histories, params.n_requests),
        scored=scored,
        look_ahead=check_look_ahead(model, tables, histories, examples),
    )
    groups = _pair_groups(scored, unseen, tables.items, model.vocabulary)
    return Examination(
        findings=diagnose(inputs, params),
        inputs=inputs,
        suspicious=find_suspects(model, tables, histories, params),
        noise=estimate_noise_by_group(scored, groups, params.surest_fraction),
    )


def choose_baseline(family: str, rolling: Protocol) -> str:
    """Return the best of the other candidates."""
    others = [name for name in rolling.values if name != family]
    return max(others, key=lambda name: float(np.nanmean(rolling.values[name][METRIC])))


def _main_curve(curve: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the learning curve of the family's main part, which comes first."""
    rows = curve[curve["part"] == curve["part"].iloc[0]]
    return [
        {
            "epoch": int(row.epoch),
            "loss": float(row.loss),
            "validation": None if pd.isna(row.validation) else float(row.validation),
        }
        for row in rows.itertuples()
    ]


def _groups(family: str) -> Mapping[str, tuple[str, ...]]:
    """Return the names of the family's features by kind."""
    if family not in HISTORY_ENCODERS:
        return {}
    from pipeline.recommenders.ranker.features import GROUPS

    return GROUPS


def find_suspects(
    model: GraphRecommender, tables: EvaluationTables, histories: Histories, params: DiagnosisParams
) -> pd.DataFrame:
    """Return the least likely labels of validation and of the last training window.

    The test window is excluded: a model must not select the labels that it is measured on. The
    model underrates errors in its training labels, so most suspects come from validation.

    Args:
        model: Model that scores the labels.
        tables: Tables that requests are built from.
        histories: All purchases up to the end of the test window.
        params: Number of requests per window, and number of labels to return.

    Returns:
        REVIEW_COLUMNS: the columns of the review queue of labeling, and some more.
    """
    train, validation = select_rolling(tables.train), select_rolling(tables.validation)
    last = train[train["cutoff"] == train["cutoff"].max()]
    parts = []
    for examples in (validation, last):
        part = draw_sample(examples, params.n_requests, tables.shop.seed)
        evaluation_set = tables.build_evaluation_set(part, histories, model.vocabulary)
        with as_of(model, histories, part["cutoff"].iloc[0].timestamp()):
            parts.append(
                _list_labels(
                    score_candidates(model, evaluation_set), evaluation_set, model.vocabulary
                )
            )
    order = ["against_chance", "example_id", "item_id"]
    suspects = pd.concat(parts).sort_values(order, ignore_index=True)
    return suspects.head(params.n_suspicious_labels)


def _list_labels(
    scored: ScoredCandidates, evaluation_set: EvaluationSet, vocabulary: Vocabulary
) -> pd.DataFrame:
    """Return every label of the requests with its probability."""
    at = find_suspicious(scored, len(scored.item))
    rows = evaluation_set.examples.iloc[scored.row[at]]
    size = np.bincount(scored.row, minlength=scored.n)[scored.row[at]]
    labels = pd.DataFrame(
        {
            "example_id": rows["example_id"].map(review_id).to_numpy(),
            "basket_id": rows["basket_id"].to_numpy(),
            "item_id": vocabulary.decode(scored.item[at].astype(np.int32)),
            "reason": REASON,
            "decision": "",
            "split": rows["split"].to_numpy(),
            "probability": scored.probability[at].round(8),
            "against_chance": (scored.probability[at] * size).round(8),
        }
    )
    return labels[REVIEW_COLUMNS]


def _pair_groups(
    scored: ScoredCandidates,
    evaluation_set: EvaluationSet,
    items: pd.DataFrame,
    vocabulary: Vocabulary,
) -> dict[str, npt.NDArray[np.object_]]:
    """Return the groups of the noise estimate: department and length of the history."""
    department = items.set_index("item_id")["department"].reindex(list(vocabulary.ids))
    names = np.array(["", *department.fillna("unknown")], dtype=object)
    earlier = evaluation_set.examples["n_earlier_baskets"].to_numpy()[scored.row]
    place = np.searchsorted(list(HISTORY), earlier, side="right") - 1
    lengths = np.array(list(HISTORY.values()), dtype=object)
    return {"department": names[scored.item], "earlier baskets": lengths[place]}

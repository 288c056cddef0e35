"""The diagnosis of the deep candidate: inputs gathered, findings, and what people review."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.params import DiagnosisParams
from pipeline.contracts.review_ids import review_id
from pipeline.recommenders.base.histories import Histories, build_histories
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.names import HISTORY_ENCODERS
from pipeline.testing.diagnosis.diagnose import Inputs, diagnose
from pipeline.testing.diagnosis.finding import Finding
from pipeline.testing.diagnosis.label_noise import Judged, noise_by_group, suspicious
from pipeline.testing.evaluate import Protocol
from pipeline.testing.foresight import foresee
from pipeline.testing.gather import (
    METRIC,
    EvaluationTables,
    as_of,
    judge,
    rolling_of,
    sampled,
    seen,
)
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
    """What was found, and what people want to see of it."""

    findings: tuple[Finding, ...]
    inputs: Inputs
    suspicious: pd.DataFrame
    noise: pd.DataFrame

    def as_dict(self) -> dict[str, Any]:
        """Return the findings as plain values by name, for metrics.json."""
        return {finding.name: finding.as_dict() for finding in self.findings}


def examine(
    family: str,
    candidates: Mapping[str, GraphRecommender],
    rolling: Protocol,
    tables: EvaluationTables,
    params: DiagnosisParams,
) -> Examination:
    """Return the diagnosis of the deep candidate.

    Args:
        family: Its name.
        candidates: All that were measured, by name.
        rolling: What they are worth on the test window.
        tables: What requests are built from.
        params: Sample sizes and bounds.
    """
    model, asked = candidates[family], rolling.questions.examples
    histories = build_histories(
        tables.events, model.vocabulary, maximum_lines=tables.shop.maximum_user_lines
    )
    counting = best_counting(family, rolling)
    part = sampled(asked, params.n_requests, tables.shop.seed)
    unseen = tables.questions(part, histories, model.vocabulary)
    judged = judge(model, unseen)
    pair = {name: candidates[name] for name in (family, counting)}
    inputs = Inputs(
        probe=_main_probe(artefacts.read_json(artefacts.family_metrics(family))),
        curve=_main_curve(pd.read_csv(artefacts.family_curve(family).existing())),
        groups=_groups(family),
        seen=seen(pair, rolling, tables, histories, params.n_requests),
        judged=judged,
        foresight=foresee(model, tables, histories, asked),
    )
    groups = _pair_groups(judged, unseen, tables.items, model.vocabulary)
    return Examination(
        findings=diagnose(inputs, params),
        inputs=inputs,
        suspicious=suspects(model, tables, histories, params),
        noise=noise_by_group(judged, groups, params.surest_fraction),
    )


def best_counting(family: str, rolling: Protocol) -> str:
    """Return the best of the other candidates."""
    others = [name for name in rolling.values if name != family]
    return max(others, key=lambda name: float(np.nanmean(rolling.values[name][METRIC])))


def _main_probe(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the debugging numbers of the family's main part; {} where it has none."""
    probe = metrics.get("probe", {})
    main = "network" if "network" in probe else next(iter(sorted(probe)), "")
    return dict(probe.get(main, {}))


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


def suspects(
    model: GraphRecommender, tables: EvaluationTables, histories: Histories, params: DiagnosisParams
) -> pd.DataFrame:
    """Return the least likely labels of validation and of the last training window.

    Never of the test window: a model that picks the labels it is measured on picks its quality. A
    label that was learned from is doubted less than it deserves, so most are of validation.

    Args:
        model: The judge.
        tables: What requests are built from.
        histories: All purchases up to the end of the test window.
        params: How many requests are looked at in each window, and how many labels are returned.

    Returns:
        REVIEW_COLUMNS, which are those of labeling's review queue and some more.
    """
    train, validation = rolling_of(tables.train), rolling_of(tables.validation)
    last = train[train["cutoff"] == train["cutoff"].max()]
    parts = []
    for examples in (validation, last):
        part = sampled(examples, params.n_requests, tables.shop.seed)
        asked = tables.questions(part, histories, model.vocabulary)
        with as_of(model, histories, part["cutoff"].iloc[0].timestamp()):
            parts.append(_doubted(judge(model, asked), asked, model.vocabulary))
    order = ["against_chance", "example_id", "item_id"]
    found = pd.concat(parts).sort_values(order, ignore_index=True)
    return found.head(params.n_suspicious_labels)


def _doubted(judged: Judged, questions: EvaluationSet, vocabulary: Vocabulary) -> pd.DataFrame:
    """Return every label of the requests with what the model thinks of it."""
    at = suspicious(judged, len(judged.item))
    rows = questions.examples.iloc[judged.row[at]]
    size = np.bincount(judged.row, minlength=judged.n)[judged.row[at]]
    found = pd.DataFrame(
        {
            "example_id": rows["example_id"].map(review_id).to_numpy(),
            "basket_id": rows["basket_id"].to_numpy(),
            "item_id": vocabulary.decode(judged.item[at].astype(np.int32)),
            "reason": REASON,
            "decision": "",
            "split": rows["split"].to_numpy(),
            "probability": judged.probability[at].round(8),
            "against_chance": (judged.probability[at] * size).round(8),
        }
    )
    return found[REVIEW_COLUMNS]


def _pair_groups(
    judged: Judged, questions: EvaluationSet, items: pd.DataFrame, vocabulary: Vocabulary
) -> dict[str, npt.NDArray[np.object_]]:
    """Return the groups by which noise is told apart: department, and length of the history."""
    department = items.set_index("item_id")["department"].reindex(list(vocabulary.ids))
    names = np.array(["", *department.fillna("unknown")], dtype=object)
    earlier = questions.examples["n_earlier_baskets"].to_numpy()[judged.row]
    place = np.searchsorted(list(HISTORY), earlier, side="right") - 1
    lengths = np.array(list(HISTORY.values()), dtype=object)
    return {"department": names[judged.item], "earlier baskets": lengths[place]}

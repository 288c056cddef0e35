"""The evaluation: from tables and candidates to metrics, slices, reference and verdict."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.errors import DataQualityError
from pipeline.contracts.family_metrics import TrainingReport
from pipeline.contracts.params import Params
from pipeline.contracts.plan import Plan
from pipeline.contracts.schemas import PROTOCOLS
from pipeline.contracts.testing_report import SliceSummary, TestReport
from pipeline.contracts.verdicts import Verdict
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.recommender import Recommender
from pipeline.recommenders.base.requests import encode_attributes
from pipeline.recommenders.base.saved import GraphRecommender, load_recommender
from pipeline.recommenders.base.tables import EVENT_COLUMNS, read_examples
from pipeline.recommenders.base.training_data import build_example_requests
from pipeline.recommenders.names import BASELINES
from pipeline.testing.comparison import (
    Protocol,
    build_other_candidates,
    context_gain,
    evaluate,
    lead,
    served_quality,
    summarise,
)
from pipeline.testing.evaluation_inputs import EvaluationTables
from pipeline.testing.examine import Examination, examine
from pipeline.testing.gate import choose_champion, gate
from pipeline.testing.measure import Doubles, EvaluationSet
from pipeline.testing.protocols import ROLLING, WITHOUT_CONTEXT
from pipeline.testing.reference import Reference, build_reference
from pipeline.testing.repairs import offer_repairs
from pipeline.testing.slices import build_slice_table, compute_fairness


@dataclass(frozen=True)
class Evaluation:
    """Results of testing."""

    report: TestReport
    slices: pd.DataFrame
    reference: Reference
    verdict: Verdict
    examination: Examination

    @classmethod
    def run(cls, params: Params, plan: Plan) -> "Evaluation":
        """Evaluate every candidate on the test window and choose the champion."""
        family = artefacts.read_record(TrainingReport, artefacts.TRAINING_METRICS).family
        folder = artefacts.CANDIDATES.existing()
        candidates: dict[str, GraphRecommender] = {
            name: load_recommender(folder / name) for name in (family, *BASELINES)
        }
        users = artefacts.read_table(artefacts.USERS)
        events = artefacts.read_table(artefacts.EVENTS, columns=EVENT_COLUMNS)
        protocols = {
            name: evaluate(
                candidates, evaluation_set, params.testing, params.serving, params.shop.seed
            )
            for name, evaluation_set in _build_evaluation_sets(
                params, candidates[family], events, users
            ).items()
        }
        popularity = _popularity(params, candidates[family], events)
        tables = EvaluationTables(
            shop=params.shop,
            events=events[events["timestamp"] < params.shop.windows().as_of],
            items=artefacts.read_table(artefacts.ITEMS),
            attributes=encode_attributes(users),
            train=read_examples("train"),
            validation=read_examples("validation"),
        )
        examination = examine(
            family, candidates, protocols["rolling"], tables, params.testing.diagnosis
        )
        return _conclude(
            family, params, plan, protocols, users, popularity, examination=examination
        )


def _build_evaluation_sets(
    params: Params, recommender: Recommender, events: pd.DataFrame, users: pd.DataFrame
) -> dict[str, EvaluationSet]:
    """Return the evaluation set of the test window by protocol."""
    vocabulary = recommender.vocabulary
    known = events[events["timestamp"] < params.shop.windows().as_of]
    histories = build_histories(known, vocabulary, maximum_lines=params.shop.maximum_user_lines)
    attributes = encode_attributes(users)
    test = read_examples("test")
    evaluation_sets = {}
    for protocol in PROTOCOLS:
        examples = test[test["protocol"] == protocol].reset_index(drop=True)
        if examples.empty:
            raise DataQualityError(
                f"test examples of the protocol '{protocol}'",
                received="none",
                action="Run `uv run dvc repro labeling`; check shop.as_of and the data's last day.",
            )
        requests = build_example_requests(
            examples, histories, vocabulary, attributes, params.shop.timezone
        )
        evaluation_sets[protocol] = EvaluationSet.of(examples, requests, vocabulary)
    return evaluation_sets | {WITHOUT_CONTEXT: evaluation_sets[ROLLING].without_context()}


def _popularity(params: Params, recommender: Recommender, events: pd.DataFrame) -> Doubles:
    """Return [n_items] events before the test window."""
    known = events[events["timestamp"] < params.shop.windows().test_start]
    index = recommender.vocabulary.encode_column(known["item_id"])
    counts = np.bincount(index, minlength=len(recommender.vocabulary)).astype(np.float64)
    counts[0] = 0.0
    return counts


def _conclude(  # noqa: PLR0913  all results
    family: str,
    params: Params,
    plan: Plan,
    protocols: dict[str, Protocol],
    users: pd.DataFrame,
    popularity: Doubles,
    *,
    examination: Examination,
) -> Evaluation:
    rolling = protocols["rolling"]
    k = min(params.testing.cutoffs)
    summaries = {name: summarise(protocol, popularity, k) for name, protocol in protocols.items()}
    primary = plan.primary_metric
    paired = {name: lead(rolling, family, name)[primary] for name in BASELINES}
    values = {name: summaries["rolling"][name].mean(primary) for name in rolling.values}
    champion = choose_champion(family, values, paired)
    slices = build_slice_table(
        rolling.evaluation_set, users, rolling.values[champion][primary], rolling.bootstrap
    )
    attributes = [name for name in users.columns if name != "user_id"]
    fairness = compute_fairness(slices, attributes)
    report = TestReport(
        champion=champion,
        **{name: by_candidate[champion] for name, by_candidate in summaries.items()},
        baselines=build_other_candidates(champion, summaries, protocols),
        n_requests={name: len(p.evaluation_set.examples) for name, p in protocols.items()},
        n_users={name: int(p.bootstrap.weights.shape[1]) for name, p in protocols.items()},
        served=served_quality(rolling, champion, params.serving.default_k),
        context_gain=context_gain(rolling, protocols[WITHOUT_CONTEXT], champion),
        fairness_gap=fairness.gap_fraction,
        fairness=fairness,
        slices=summarise_slices(slices, primary),
        diagnosis=examination.records(),
    )
    reference = build_reference(
        rolling,
        champion,
        popularity,
        n_bins=params.testing.n_reference_bins,
        k=params.serving.default_k,
        explore_slots=params.serving.explore_slots,
    )
    verdict = gate(report, paired, plan, examination.findings)
    repairs = offer_repairs(verdict, examination.findings, family, params, plan)
    verdict = verdict.model_copy(update={"repairs": repairs})
    return Evaluation(report, slices, reference, verdict, examination)


def summarise_slices(slices: pd.DataFrame, metric: str) -> dict[str, SliceSummary]:
    """Return each slice of `build_slice_table` for the test report; its value is of `metric`."""
    return {
        f"{row['kind']}: {row['slice']}": SliceSummary(
            n=row["n"], interval=(row["low"], row["high"]), **{metric: row["value"]}
        )
        for row in slices.to_dict("records")
    }

"""Failure modes made on purpose in fits of the tiny shop are found; a sound fit has none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from pipeline.contracts.params import RankerParams
from pipeline.contracts.review_ids import review_id
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.requests import encode_attributes
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.training_data import TrainingData, build_example_requests
from pipeline.recommenders.fitting.family import FittedFamily
from pipeline.recommenders.ranker.examples import (
    Labels,
    RepeatPairs,
    build_extractor,
    build_repeat_pairs,
)
from pipeline.recommenders.ranker.features import GROUPS, NAMES
from pipeline.recommenders.ranker.network import build_network
from pipeline.recommenders.ranker.probe import feature_aucs, measure_activity, measure_overfit_loss
from pipeline.recommenders.ranker.repeat_fit import (
    Lists,
    best_hits,
    build_scorer,
    feature_statistics,
)
from pipeline.testing.comparison import evaluate
from pipeline.testing.diagnosis.diagnose import Inputs, diagnose
from pipeline.testing.evaluation_inputs import EvaluationTables, measure_gap, score_candidates
from pipeline.testing.examine import find_suspects
from pipeline.testing.lookahead import check_look_ahead, state_difference
from pipeline.training.fit import report
from pipeline.training.fit.candidates import build_baseline_recommender, fit_family
from tests.model.conftest import FittedCandidates, World, monday
from tests.support import tiny_shop
from tests.support.planted import with_labels

pytestmark = pytest.mark.slow

NOISE = 0.2


def tables_of(world: World, data: TrainingData) -> EvaluationTables:
    known = world.events[world.events["timestamp"] < monday(22)]
    users = encode_attributes(tiny_shop.users())
    return EvaluationTables(
        world.params.shop, known, tiny_shop.items(), users, data.train, data.validation
    )


def inputs_of(
    world: World,
    data: TrainingData,
    test: pd.DataFrame,
    model: GraphRecommender,
    family: FittedFamily,
) -> Inputs:
    """What the testing stage gathers, without the files between the stages."""
    tables = tables_of(world, data)
    pair = {
        "mlp": model,
        "decayed": build_baseline_recommender("decayed", data, world.params.training.baselines),
    }
    histories = build_histories(tables.events, model.vocabulary)
    questions = tables.build_evaluation_set(test, histories, model.vocabulary)
    rolling = evaluate(pair, questions, world.params.testing, world.params.serving, 3)
    return Inputs(
        probe=report.collect_probe(family.fits["network"]),
        curve=family.fits["network"].curve,
        groups=GROUPS,
        gap=measure_gap(pair, rolling, tables, histories, 2_000),
        scored=score_candidates(model, questions),
        look_ahead=check_look_ahead(model, tables, histories, test),
    )


def suspected(world: World, inputs: Inputs) -> dict[str, str | None]:
    findings = diagnose(inputs, world.params.testing.diagnosis)
    return {f.name: f.target_phase for f in findings if f.verdict == "suspected"}


@pytest.fixture(scope="module")
def sound(world: World, fitted: FittedCandidates) -> Inputs:
    return inputs_of(world, world.data, world.test, fitted.recommenders["mlp"], fitted.family)


@pytest.fixture
def fit(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[FittedFamily, GraphRecommender]]:
    monkeypatch.chdir(tmp_path)

    def run(
        data: TrainingData, epochs: dict[str, int] | None = None, **changes: Any
    ) -> tuple[FittedFamily, GraphRecommender]:
        families = world.params.families.without_learning_curve()
        ranker = families.ranker.model_copy(update={"explore_epochs": 1} | changes)
        families = families.model_copy(update={"ranker": ranker})
        return fit_family("mlp", data, families, seed=3, epochs=epochs)

    return run


def test_a_sound_fit_has_no_failure_mode(world: World, sound: Inputs) -> None:
    findings = diagnose(sound, world.params.testing.diagnosis)
    verdicts = {finding.name: finding.verdict for finding in findings}
    # what 80 shoppers gain by the last of them may be chance
    assert verdicts.pop("too_little_data") in {"healthy", "unknown"}
    assert verdicts == dict.fromkeys(
        ("leak", "units", "overfit", "underfit", "label_noise"), "healthy"
    )


def test_few_examples_learned_for_long_are_learned_by_heart(
    world: World, fit: Callable[..., Any]
) -> None:
    last = world.data.train["cutoff"] == world.data.train["cutoff"].max()
    few = world.data.train[last].iloc[::4].reset_index(drop=True)
    data = replace(world.data, train=few)
    family, model = fit(data, {"network": 100, "explore": 1}, dropout=0.0, weight_decay=0.0)
    result = suspected(world, inputs_of(world, data, world.test, model, family))
    assert result == {"overfit": "training"}


def test_steps_that_are_too_small_leave_it_behind_counting(
    world: World, fit: Callable[..., Any]
) -> None:
    family, model = fit(world.data, learning_rate=1e-6, epochs=None)
    result = suspected(world, inputs_of(world, world.data, world.test, model, family))
    assert result == {"underfit": "training"}


def test_steps_that_are_too_large_explode(world: World, fit: Callable[..., Any]) -> None:
    family, model = fit(world.data, learning_rate=10.0, patience=3)
    result = suspected(world, inputs_of(world, world.data, world.test, model, family))
    assert result == {"units": "training"}


def with_errors(examples: pd.DataFrame, events: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The examples with NOISE of the labels moved to other products of the shopper's past."""
    random = np.random.default_rng(seed)
    past = {user: lines.sort_values("timestamp") for user, lines in events.groupby("user_id")}
    labels = []
    for row in examples.itertuples():
        lines = past[row.user_id]
        known = set(lines["item_id"][lines["timestamp"] < row.timestamp]) - set(row.cart)
        free = sorted(known - set(row.labels))
        result = set(row.labels)
        for name in row.labels:
            if free and random.random() < NOISE:
                result.remove(name)
                result.add(free.pop(int(random.integers(len(free)))))
        labels.append(sorted(result))
    relevance = [[1.0] * len(label) for label in labels]
    return examples.assign(
        labels=pd.Series(labels, dtype=object), relevance=pd.Series(relevance, dtype=object)
    )


def test_shuffled_labels_are_found_where_they_were_also_learned_from(
    world: World, fit: Callable[..., Any]
) -> None:
    data = replace(
        world.data,
        train=with_errors(world.data.train, world.events, 5),
        validation=with_errors(world.data.validation, world.events, 6),
    )
    family, model = fit(data, dropout=0.3)
    test = with_errors(world.test, world.events, 7)
    result = suspected(world, inputs_of(world, data, test, model, family))
    assert result == {"label_noise": "labeling"}


def test_shuffled_labels_of_the_unseen_weeks_alone_are_found(
    world: World, sound: Inputs, fitted: FittedCandidates
) -> None:
    model = fitted.recommenders["mlp"]
    tables = tables_of(world, world.data)
    histories = build_histories(tables.events, model.vocabulary)
    noisy = with_errors(world.test, world.events, 7)
    scored = score_candidates(
        model, tables.build_evaluation_set(noisy, histories, model.vocabulary)
    )
    assert suspected(world, replace(sound, scored=scored)) == {"label_noise": "labeling"}


@pytest.fixture(scope="module")
def pairs(world: World, fitted: FittedCandidates) -> RepeatPairs:
    """Of the validation window."""
    extract = build_extractor(fitted.family.graph, world.params.families.ranker.n_ages)
    examples = world.data.validation
    return build_repeat_pairs(
        world.data.build_requests(examples), Labels.of(examples, world.data), extract
    )


def test_a_feature_that_is_the_label_is_a_leak(
    world: World, sound: Inputs, pairs: RepeatPairs
) -> None:
    features = pairs.features.copy()
    features[:, NAMES.index("hour")] = pairs.wanted > 0
    aucs = feature_aucs(replace(pairs, features=features))
    assert aucs["hour"] == 1.0
    probe = sound.probe.model_copy(update={"feature_auc": aucs})
    assert suspected(world, replace(sound, probe=probe)) == {"leak": "collection"}


def test_item_state_of_a_later_day_is_a_leak(
    world: World, sound: Inputs, fitted: FittedCandidates
) -> None:
    """The graph as of the end of the test window, under the description of the day before it."""
    from pipeline.recommenders.registry import get_family

    model, families = fitted.recommenders["mlp"], world.params.families
    later = replace(world.later, vocabulary=world.data.vocabulary)
    graph = get_family("mlp").at(later.cutoff, model.module, later, families)
    leaky = GraphRecommender(model.description, model.vocabulary, graph)
    histories = build_histories(tables_of(world, world.data).events, model.vocabulary)
    learned_at = world.data.train["cutoff"].max()
    assert state_difference(model, histories, learned_at) == 0.0
    difference = state_difference(leaky, histories, learned_at)
    assert difference > 0.1
    assert sound.look_ahead is not None
    later_state = replace(sound.look_ahead, state_difference=difference)
    assert suspected(world, replace(sound, look_ahead=later_state)) == {"leak": "labeling"}


def test_a_label_in_what_features_are_made_of_is_a_leak(
    world: World, sound: Inputs, fitted: FittedCandidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Purchases of what will be wanted have a hundred units, in every request that is built."""

    def leaky(examples: pd.DataFrame, *more: Any) -> Any:
        return with_labels(build_example_requests(examples, *more), examples, world.data.vocabulary)

    monkeypatch.setattr("pipeline.recommenders.base.training_data.build_example_requests", leaky)
    extract = build_extractor(fitted.family.graph, world.params.families.ranker.n_ages)
    examples = world.data.validation
    pairs = build_repeat_pairs(
        world.data.build_requests(examples), Labels.of(examples, world.data), extract
    )
    aucs = feature_aucs(pairs)
    assert aucs["last_quantity"] == 1.0
    probe = sound.probe.model_copy(update={"feature_auc": aucs})
    assert suspected(world, replace(sound, probe=probe)) == {"leak": "collection"}


def test_labels_to_review_are_never_of_the_test_window(
    world: World, fitted: FittedCandidates
) -> None:
    """The least likely of each window are what was bought by chance in the week's mailer."""
    named = {
        split: frame.assign(example_id="rolling:" + frame["user_id"] + ":" + frame["basket_id"])
        for split, frame in (("train", world.data.train), ("validation", world.data.validation))
    }
    tables = replace(tables_of(world, world.data), **named)
    model, params = fitted.recommenders["mlp"], world.params.testing.diagnosis
    histories = build_histories(tables.events, model.vocabulary)
    state = model.module.features.state.numpy()
    suspects = find_suspects(model, tables, histories, params)
    assert set(suspects["split"]) == {"train", "validation"}
    assert not set(suspects["basket_id"]) & set(world.test["basket_id"])
    assert suspects["against_chance"].is_monotonic_increasing
    assert len(suspects) == params.n_suspicious_labels
    last = named["train"]["cutoff"].max()
    known = pd.concat([named["validation"], named["train"][named["train"]["cutoff"] == last]])
    labels = known.set_index(known["example_id"].map(review_id))["labels"]
    assert all(row.item_id in labels[row.example_id] for row in suspects.itertuples())
    np.testing.assert_array_equal(model.module.features.state.numpy(), state)


def network_and_lists(pairs: RepeatPairs, params: RankerParams) -> tuple[Any, Lists]:
    keras.utils.set_random_seed(2)
    settings = params.model_copy(update={"dropout": 0.0})
    return build_network(*feature_statistics(pairs.features), settings, "mlp", 13), Lists(pairs)


def test_units_with_biases_of_minus_ten_are_dead(
    world: World, sound: Inputs, pairs: RepeatPairs
) -> None:
    network, lists = network_and_lists(pairs, world.params.families.ranker)
    batch = next(lists.batches(np.random.default_rng(0), 64))
    assert measure_activity(network, batch)["dead_fraction"] < 0.2
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dense) and layer.activation is keras.activations.relu:
            layer.bias.assign(layer.bias.numpy() - 10.0)
    result = measure_activity(network, batch) | {
        "batch_loss_left": measure_overfit_loss(network, lists)
    }
    assert result["dead_fraction"] > 0.5
    probe = sound.probe.model_copy(update=result)
    assert suspected(world, replace(sound, probe=probe)) == {"units": "training"}


def test_the_recorded_gradients_and_losses_are_those_of_the_fit(
    world: World, fitted: FittedCandidates
) -> None:
    probe = report.collect_probe(fitted.family.fits["network"])
    recorded = probe.model_dump()
    assert 0 < recorded["gradient_median"] <= recorded["gradient_largest"]
    assert recorded["loss_at_end"] < recorded["loss_at_start"]
    assert probe.loss_at_start == pytest.approx(probe.expected_loss_at_start, rel=0.25)
    assert probe.learning_curve[-1].fraction == 1.0


def test_the_features_areas_are_those_of_a_count_over_all_pairs(pairs: RepeatPairs) -> None:
    """Against the definition: how often a wanted item has more of it than one that is not."""
    column = NAMES.index("n_purchases")
    areas = []
    for row in range(pairs.n):
        mine = pairs.row == row
        values = pairs.features[mine, column].astype(float)
        hit = pairs.wanted[mine] > 0
        if hit.any() and not hit.all():
            more = values[hit][:, None] - values[~hit][None, :]
            areas.append(float((np.sign(more) / 2 + 0.5).mean()))
    assert feature_aucs(pairs)["n_purchases"] == pytest.approx(np.mean(areas), abs=1e-6)


def test_half_of_the_users_are_asked_with_their_own_pairs(
    world: World, fitted: FittedCandidates, pairs: RepeatPairs
) -> None:
    from pipeline.recommenders.ranker.repeat_fit import RepeatValidation

    user = np.unique(world.data.validation["user_id"].to_numpy(dtype=object), return_inverse=True)
    n_true = world.data.validation["labels"].map(len).to_numpy()
    whole = RepeatValidation(pairs, n_true, user[1])
    half = whole.part(2)
    score = build_scorer(fitted.family.graph.network)
    np.testing.assert_allclose(half.ndcg(score), whole.ndcg(score)[user[1] % 2 == 0])
    assert best_hits(score(half.pairs), half.pairs).shape == (half.pairs.n, 10)

"""Reasons are causes: what they name, taken away, lowers the score."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from benchmarks.quality.deletion import fall
from pipeline.recommenders.base.batch import read_batch, to_tensors
from pipeline.recommenders.base.recommender import Explanations, Recommendations
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.names import BASELINES
from pipeline.recommenders.ranker.explain import FINER_GROUPS, group_contributions
from pipeline.recommenders.ranker.features import GROUPS, NAMES, last_ages
from pipeline.recommenders.ranker.graph import GROUP_OF_FEATURE, REPEAT_GROUPS
from pipeline.recommenders.ranker.network import mean_score
from pipeline.serving.explanations.catalogue import Catalogue, build_catalogue
from pipeline.serving.explanations.reasons import Reason, ReasonBuilder
from tests.model.conftest import FittedCandidates, World, monday
from tests.support import tiny_shop

REPEAT, EXPLORE = 0, 1
K = 8
ReasonRows = list[tuple[int, int, int, Reason]]  # request, item, slot, reason


def columns(*values: list[float]) -> tf.Tensor:
    return tf.constant(values, tf.float32)


def masks(n: int) -> np.ndarray:
    return np.eye(n, dtype=bool)


def test_a_group_of_a_linear_score_adds_its_weight_times_what_is_special() -> None:
    weights = tf.constant([2.0, -1.0, 10.0])
    actual, typical = columns([3.0, 5.0, 1.0]), columns([1.0, 1.0, 1.0])
    contributions = group_contributions(
        lambda rows, _: tf.linalg.matvec(rows, weights), actual, typical, masks(3)
    )
    # 2 * (3 - 1), -1 * (5 - 1), 10 * (1 - 1).
    np.testing.assert_allclose(contributions, [[4.0, -4.0, 0.0]], atol=1e-6)


def test_two_groups_that_need_each_other_share_what_they_add() -> None:
    contributions = group_contributions(
        lambda rows, _: rows[:, 0] * rows[:, 1],
        columns([2.0, 3.0]),
        columns([1.0, 1.0]),
        masks(2),
    )
    # x: (6 - 3 + 2 - 1) / 2; y: (6 - 2 + 3 - 1) / 2. Together the 5 that the item has more.
    np.testing.assert_allclose(contributions, [[2.0, 3.0]], atol=1e-6)


def test_of_two_groups_that_say_the_same_neither_hides_the_other() -> None:
    contributions = group_contributions(
        lambda rows, _: tf.maximum(rows[:, 0], rows[:, 1]),
        columns([1.0, 1.0]),
        columns([0.0, 0.0]),
        masks(2),
    )
    np.testing.assert_allclose(contributions, [[0.5, 0.5]], atol=1e-6)


@pytest.fixture(scope="module")
def catalogue(world: World) -> Catalogue:
    as_of = pd.Timestamp(monday(22)).to_pydatetime()
    return build_catalogue(world.later.items, world.later.histories, as_of=as_of)


def reasons_of(
    recommender: GraphRecommender, world: World, catalogue: Catalogue, requests: range
) -> ReasonRows:
    rows = []
    for at in requests:
        one = world.requests.part(at, at + 1)
        recommendations, explanations = recommender.explain(one, K, explore_slots=2)
        reasons = ReasonBuilder(one, catalogue)
        for rank, item in enumerate(recommendations.items[0].tolist()):
            slot = int(recommendations.slots[0, rank])
            texts = reasons.build(item, *explanations.of(0, rank))
            rows.extend((at, item, slot, reason) for reason in texts)
    return rows


@pytest.fixture(scope="module")
def reported(ranker: GraphRecommender, world: World, catalogue: Catalogue) -> ReasonRows:
    return reasons_of(ranker, world, catalogue, range(0, 320, 8))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", *BASELINES])
def test_the_explained_answer_is_the_answer(
    fitted: FittedCandidates, world: World, name: str
) -> None:
    recommender, requests = fitted.recommenders[name], world.cart_requests.part(0, 40)
    plain = recommender.recommend(requests, 60, explore_slots=4)
    explained, explanations = recommender.explain(requests, 60, explore_slots=4)
    assert_same(plain, explained)
    assert explanations.why.shape == (40, 60, len(explanations.groups))
    assert explanations.values.shape == (40, 60, len(explanations.facts))
    assert np.isfinite(explanations.why).all()
    assert not explanations.why[explained.items == 0].any()


def assert_same(one: Recommendations, other: Recommendations) -> None:
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.slots, other.slots)
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_many_requests_are_explained_as_each_alone(ranker: GraphRecommender, world: World) -> None:
    whole, of_whole = ranker.explain(world.requests, 5)
    last = len(world.requests)
    assert last > 256
    alone, of_alone = ranker.explain(world.requests.part(last - 1, last), 5)
    np.testing.assert_array_equal(whole.items[-1:], alone.items)
    np.testing.assert_allclose(of_whole.why[-1:], of_alone.why, atol=1e-4)
    assert of_whole.groups == of_alone.groups == ranker.module.groups


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "slot", "group"),
    [
        ("decayed", REPEAT, "frequency"),
        ("personal", REPEAT, "frequency"),
        ("tifu_knn", REPEAT, "frequency"),
        ("popular", REPEAT, "popularity"),
        ("decayed", EXPLORE, "popularity"),
    ],
)
def test_counting_is_explained_by_what_it_counts(
    fitted: FittedCandidates, world: World, name: str, slot: int, group: str
) -> None:
    result, explanations = fitted.recommenders[name].explain(world.requests, K, explore_slots=2)
    why = explanations.why[(result.slots == slot) & (result.items > 0)]
    assert len(why)
    assert (why[:, explanations.groups.index(group)] > 0).all()
    others = {"frequency", "taste", "popularity"} - {group, "taste"}
    assert not why[:, [explanations.groups.index(other) for other in others]].any()


@pytest.mark.slow
def test_the_parts_of_an_explore_score_add_up_to_its_lead_over_the_catalogue(
    ranker: GraphRecommender, world: World
) -> None:
    batch = read_batch(to_tensors(world.cart_requests.part(0, 5)))
    scores, why = ranker.module.explain_catalogue(batch)
    items = tf.repeat(ranker.module.catalogue[tf.newaxis], 5, axis=0)
    lead = scores - tf.reduce_mean(scores, axis=1, keepdims=True)
    np.testing.assert_allclose(tf.reduce_sum(why(items)[1], axis=2), lead, atol=1e-3)
    np.testing.assert_allclose(scores, ranker.module.score_catalogue(batch), atol=1e-4)


@pytest.mark.slow
def test_without_its_largest_group_an_item_falls_more_than_without_another(
    ranker: GraphRecommender, world: World
) -> None:
    """Groups are deleted here by hand, from the inputs of the network."""
    n_ages = world.params.families.ranker.n_ages
    requests = world.requests.part(0, 60)
    result, explanations = ranker.explain(requests, 5)
    batch = read_batch(to_tensors(requests))
    inputs = [ranker.module.features(batch).numpy(), last_ages(batch, n_ages).numpy()]
    row, item = batch.repeat_row.numpy(), batch.repeat_item.numpy()
    kind = tf.gather(ranker.module.features.type_code, item).numpy()
    owners = np.array(list(GROUP_OF_FEATURE.values()))
    largest, others = [], []
    for at in range(60):
        pairs = np.flatnonzero(row == at)
        typical = [values[pairs].mean(axis=0) for values in inputs]
        pair = [pairs[item[pairs] == entry][0] for entry in result.items[at]]
        after = []
        for group in REPEAT_GROUPS:
            changed = [values[pair].copy() for values in inputs]
            changed[0][:, owners == group] = typical[0][owners == group]
            if group == "history":
                changed[1][:] = typical[1]
            after.append(mean_score(ranker.module.network, [*changed, kind[pair]]).numpy())
        falls = result.scores[at] - np.array(after)
        top = explanations.why[at, :, : len(REPEAT_GROUPS)].argmax(axis=1)
        largest.append(np.take_along_axis(falls, top[np.newaxis], 0)[0])
        others.append((falls.sum(axis=0) - largest[-1]) / (len(REPEAT_GROUPS) - 1))
    # A contribution is the mean of two deletions, this is one of them: they need not always agree.
    assert np.mean(np.array(largest) > 0) > 0.8  # [60, 5]
    assert np.mean(np.array(largest) > np.array(others)) > 0.8
    assert np.mean(largest) > 3 * np.mean(others)


@pytest.mark.slow
def test_what_a_reason_names_taken_away_lowers_the_score(
    ranker: GraphRecommender, world: World, catalogue: Catalogue, reported: ReasonRows
) -> None:
    falls = [
        fall(ranker, world.requests.part(at, at + 1), item, reason.kind, catalogue)
        for at, item, _, reason in reported
    ]
    checked = np.array([fell for fell in falls if fell is not None])
    assert len(checked) > 200
    assert (checked > 0).mean() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_a_count_that_is_told_taken_away_lowers_the_score(
    fitted: FittedCandidates, world: World, catalogue: Catalogue, name: str
) -> None:
    recommender = fitted.recommenders[name]
    reasons = reasons_of(recommender, world, catalogue, range(0, 320, 40))
    kinds = Counter(reason.kind for *_, reason in reasons)
    assert kinds["popularity"] > 0
    if name == "popular":
        assert set(kinds) <= {"popularity"}
        return
    assert kinds["frequency"] > 0
    for at, item, _, reason in reasons:
        if reason.kind == "frequency":
            one = world.requests.part(at, at + 1)
            fell = fall(recommender, one, item, reason.kind, catalogue)
            assert fell is not None
            assert fell > 0


@pytest.mark.slow
def test_an_offer_is_told_of_what_is_in_the_mailer_and_of_nothing_else(
    world: World, reported: ReasonRows
) -> None:
    since = (world.test["timestamp"] - pd.Timestamp(tiny_shop.START)).dt.days // 7
    offered = [(at, item, r.text) for at, item, _, r in reported if r.kind == "offers"]
    assert offered
    for at, item, text in offered:
        number = int(world.data.vocabulary.decode(np.array([item]))[0].removeprefix("item-"))
        week = int(since[at]) + (1 if "next week" in text else 0)
        assert number in tiny_shop.mailer(week)


@pytest.mark.slow
def test_habits_are_told_by_how_often_or_when_they_were_bought(reported: ReasonRows) -> None:
    kinds = Counter(reason.kind for _, _, slot, reason in reported if slot == REPEAT)
    assert kinds["frequency"] + kinds["due"] + kinds["recent"] > 0.5 * kinds.total()


@pytest.mark.slow
def test_what_is_told_apart_is_a_feature_and_has_a_sentence(ranker: GraphRecommender) -> None:
    for group, names in FINER_GROUPS.items():
        assert set(names) <= set(NAMES)
        assert group in ranker.module.groups


@pytest.mark.slow
def test_explanations_name_every_group_once(ranker: GraphRecommender, world: World) -> None:
    explanations: Explanations = ranker.explain(world.requests.part(0, 1), 3)[1]
    assert (set(GROUPS) - {"trips"}) | {"history", "taste"} <= set(explanations.groups)
    assert len(set(explanations.groups)) == len(explanations.groups)

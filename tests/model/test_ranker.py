"""What the Keras ranker must be able to do: learn, repeat itself, and use what it is shown."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.contracts.errors import TrainingError
from pipeline.contracts.params import Params
from pipeline.recommenders.base.batch import Batch, read_batch, to_tensors
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.names import BASELINES, HISTORY_ENCODERS
from pipeline.recommenders.ranker.examples import (
    Labels,
    RepeatPairs,
    build_extractor,
    build_repeat_pairs,
)
from pipeline.recommenders.ranker.explore import SIGNALS
from pipeline.recommenders.ranker.explore_fit import explore_loss
from pipeline.recommenders.ranker.features import NAMES
from pipeline.recommenders.ranker.graph import RankerGraph, build_item_tables, code_counts
from pipeline.recommenders.ranker.network import build_inputs, build_network
from pipeline.recommenders.ranker.repeat_fit import Lists, feature_statistics, list_loss
from pipeline.training.fit.candidates import (
    measure_baselines,
    measure_on_validation,
    measure_quality,
    refit,
)
from tests.model.conftest import FittedCandidates, World, fit_in, monday
from tests.support import tiny_shop

pytestmark = pytest.mark.slow

N_IN_BATCH = 16
N_KINDS = 13


def fresh_graph(world: World) -> RankerGraph:
    tables = build_item_tables(world.data, monday(14).timestamp(), 28)
    return RankerGraph(tables, world.params.families.ranker, code_counts(world.data), seed=1)


@pytest.fixture(scope="module")
def pairs(world: World) -> RepeatPairs:
    part = world.data.train.iloc[-128:].reset_index(drop=True)
    extract = build_extractor(fresh_graph(world), world.params.families.ranker.n_ages)
    return build_repeat_pairs(world.data.build_requests(part), Labels.of(part, world.data), extract)


def network_of(pairs: RepeatPairs, params: Params, **changes: Any) -> Any:
    keras.utils.set_random_seed(2)
    encoder = changes.pop("encoder", "mlp")
    settings = params.families.ranker.model_copy(update=changes)
    return build_network(*feature_statistics(pairs.features), settings, encoder, N_KINDS)


def one_batch(pairs: RepeatPairs, size: int) -> tuple[Any, ...]:
    return next(iter(Lists(pairs).batches(np.random.default_rng(0), size)))


def loss_of(network: Any, batch: tuple[Any, ...]) -> tf.Tensor:
    return list_loss(network, batch, training=False)


def test_training_pairs_are_what_was_bought_before_and_is_not_in_the_cart(
    world: World, pairs: RepeatPairs
) -> None:
    part = world.data.train.iloc[-128:].reset_index(drop=True)
    for at in range(0, 128, 7):
        example = part.iloc[at]
        lines = world.events[
            (world.events["user_id"] == example["user_id"])
            & (world.events["timestamp"] < example["timestamp"])
        ]
        repeat_items = set(lines["item_id"]) - set(example["cart"])
        items = world.data.vocabulary.decode(pairs.item[pairs.row == at])
        assert set(items) == repeat_items
        wanted = {item for item, w in zip(items, pairs.wanted[pairs.row == at], strict=True) if w}
        assert wanted == repeat_items & set(example["labels"])


def test_the_loss_starts_at_about_the_logarithm_of_the_number_of_candidates(
    world: World, pairs: RepeatPairs
) -> None:
    batch = one_batch(pairs, 128)
    expected = float(np.log(batch[-1].numpy().sum(axis=1)).mean())
    assert float(loss_of(network_of(pairs, world.params), batch)) == pytest.approx(
        expected, rel=0.25
    )


def test_the_explore_loss_starts_at_about_the_logarithm_of_the_new_items(world: World) -> None:
    part = world.data.train.iloc[:64].reset_index(drop=True)
    graph = fresh_graph(world)
    labels = Labels.of(part, world.data)
    keys = np.stack([labels.key // labels.n_items, labels.key % labels.n_items], axis=1)
    batch = read_batch(to_tensors(world.data.build_requests(part)))
    n_new = tiny_shop.N_ITEMS - np.bincount(batch.repeat_row.numpy(), minlength=64)
    result = float(explore_loss(graph, batch, tf.constant(keys, tf.int32)))
    assert result == pytest.approx(float(np.log(n_new).mean()), rel=0.2)


def test_the_network_learns_one_batch_by_heart(world: World, pairs: RepeatPairs) -> None:
    batch = one_batch(pairs, N_IN_BATCH)
    n_wanted = (batch[-2].numpy() > 0).sum(axis=1)
    best = float(np.log(n_wanted).mean())  # only the wanted, all equal
    network = network_of(pairs, world.params, dropout=0.0)
    start = float(loss_of(network, batch))
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(network.trainable_variables)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            value = loss_of(network, batch)
        gradients = tape.gradient(value, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))

    for _ in range(300):
        step()
    assert float(loss_of(network, batch)) - best < 0.05 * (start - best)


@pytest.mark.parametrize("encoder", HISTORY_ENCODERS)
def test_every_encoder_gives_one_score_per_pair_and_can_learn(
    world: World, pairs: RepeatPairs, encoder: str
) -> None:
    network = network_of(pairs, world.params, encoder=encoder)
    batch = one_batch(pairs, 4)
    with tf.GradientTape() as tape:
        loss = loss_of(network, batch)
    gradients = tape.gradient(loss, network.trainable_variables)
    n_networks = world.params.families.ranker.n_networks
    assert network(build_inputs(*batch[:-2])).shape == (tf.size(batch[-1]), n_networks)
    assert all(gradient is not None for gradient in gradients)
    if encoder != "none":
        moved = [
            np.abs(gradient).max()
            for gradient, variable in zip(gradients, network.trainable_variables, strict=True)
            if "ages" in variable.path
        ]
        assert max(moved) > 0


def test_the_order_of_the_batches_is_a_matter_of_the_seed(pairs: RepeatPairs) -> None:
    lists = Lists(pairs)

    def rows(seed: int) -> list[float]:
        return [float(tf.reduce_sum(b[1])) for b in lists.batches(np.random.default_rng(seed), 32)]

    assert rows(1) == rows(1) != rows(2)


def test_a_batch_keeps_the_pairs_of_each_request_together(pairs: RepeatPairs) -> None:
    useful = {row for row in range(pairs.n) if pairs.wanted[pairs.row == row].any()}
    lengths = []
    for *_, wanted, mask in Lists(pairs).batches(np.random.default_rng(3), 50):
        assert (wanted.numpy().sum(axis=1) > 0).all()
        assert not wanted.numpy()[~mask.numpy()].any()
        lengths += mask.numpy().sum(axis=1).tolist()
    assert sorted(lengths) == sorted((pairs.row == row).sum() for row in useful)


def test_the_loss_falls_and_validation_rises(fitted: FittedCandidates) -> None:
    for part in fitted.family.fits.values():
        assert part.curve[-1]["loss"] < part.curve[0]["loss"]
        best = max(row["validation"] for row in part.curve)
        assert part.curve[part.epochs - 1]["validation"] == best


def test_a_mailer_raises_what_is_no_habit(world: World, ranker: GraphRecommender) -> None:
    """The same requests with and without everything in the mailer of their week."""
    week = 20
    inside = (world.test["timestamp"] >= monday(week)) & (
        world.test["timestamp"] < monday(week + 1)
    )
    requests = world.later.build_requests(world.test[inside].reset_index(drop=True))
    batch = read_batch(to_tensors(requests))
    once = batch.repeat_count.numpy() == 1
    raised = own_scores(ranker, batch, week, 255) - own_scores(ranker, batch, week, 0)
    assert once.sum() > 100
    assert raised[once].mean() > 0
    assert (raised[once] > 0).mean() > 0.8


def own_scores(ranker: GraphRecommender, batch: Batch, week: int, share: int) -> Any:
    """Return the score of every own pair with all products in the mailer of `week`, or none."""
    calendar = ranker.module.features.offers
    offers = calendar.flat
    before = offers.numpy().copy()
    changed = before.copy()
    # row 0 is the empty week before the first
    changed.reshape(calendar.n_weeks, -1, before.shape[1])[week + 1, 1:, 0] = share
    try:
        offers.assign(changed)
        return ranker.module.score_repeat(batch).numpy().copy()
    finally:
        offers.assign(before)


def test_a_mailer_raises_what_is_explored(ranker: GraphRecommender) -> None:
    weights = dict(zip(SIGNALS, ranker.module.explore.weights.numpy(), strict=True))
    assert weights["mailer_now"] > 0
    assert weights["mailer_now"] > weights["mailer_next"]


def test_a_cart_moves_the_scores_of_what_is_left(world: World, ranker: GraphRecommender) -> None:
    names = [NAMES.index(name) for name in ("cart_size", "type_in_cart", "category_in_cart")]
    batches = [read_batch(to_tensors(r)) for r in (world.requests, world.cart_requests)]
    plain, carted = (ranker.module.features(batch).numpy() for batch in batches)
    assert not plain[:, names].any()
    assert carted[:, names[0]].all()
    assert carted[:, names[1]].any()
    others = [at for at in range(plain.shape[1]) if at not in names]
    np.testing.assert_array_equal(plain[:, others], carted[:, others])


def test_what_was_just_viewed_moves_only_what_is_explored(
    world: World, ranker: GraphRecommender
) -> None:
    n = 20
    plain = world.requests.part(0, n)
    viewed = replace(
        plain,
        viewed_splits=np.arange(n + 1, dtype=np.int64),
        viewed_item=np.arange(1, n + 1, dtype=np.int32),
    )
    one, other = ranker.rank(plain, 10), ranker.rank(viewed, 10)
    np.testing.assert_array_equal(one.repeat_scores, other.repeat_scores)
    assert (one.explore_scores != other.explore_scores).any()


def test_two_fits_with_one_seed_agree(
    world: World, fitted: FittedCandidates, tmp_path: Path
) -> None:
    again = fit_in(tmp_path, world.data, world.params)
    for part, one in fitted.family.fits.items():
        other = again.family.fits[part]
        assert one.epochs == other.epochs
        for row, same in zip(one.curve, other.curve, strict=True):
            assert row == pytest.approx(same, abs=1e-6)
    for name in fitted.recommenders:
        one, other = (entry.recommenders[name] for entry in (fitted, again))
        assert measure_quality(
            one, world.later, world.later.build_batch(world.test)
        ) == pytest.approx(
            measure_quality(other, world.later, world.later.build_batch(world.test)), abs=1e-6
        )


def test_a_refit_on_all_data_trains_as_long_as_the_first_fit(
    world: World, fitted: FittedCandidates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = world.later.validation.iloc[:0]
    data = replace(world.later, validation=nothing)
    settings = (world.params.families, world.params.training.baselines)
    first = fitted.recommenders["mlp"].description
    again = refit(first, data, *settings, seed=3)
    assert again.description["epochs"] == first["epochs"]
    assert again.description["cutoff"].startswith("2024-06-03")
    assert (
        measure_quality(again, world.later, world.later.build_batch(world.test))["recall@10"] > 0.7
    )
    assert refit({"name": "decayed"}, data, *settings, seed=3).name == "decayed"
    with pytest.raises(TrainingError, match="best"):
        refit({"name": "best"}, data, *settings, seed=3)


def test_the_ranker_is_ahead_of_every_baseline_on_validation(
    world: World, fitted: FittedCandidates
) -> None:
    family = fitted.recommenders["mlp"]
    ours = measure_on_validation("mlp", family, world.data, world.params.families)
    theirs = measure_baselines(world.data, world.params.training.baselines)
    assert set(theirs) == set(BASELINES)
    assert all(ours["ndcg@10"] >= values["ndcg@10"] for values in theirs.values())
    assert theirs["popular"]["recall@10"] < 0.4
    assert theirs["decayed"]["recall@10"] > 0.7


def test_a_recommender_knows_its_vocabulary(fitted: FittedCandidates) -> None:
    for recommender in fitted.recommenders.values():
        assert isinstance(recommender.vocabulary, Vocabulary)
        assert recommender.description["n_items"] == len(recommender.vocabulary) == 61

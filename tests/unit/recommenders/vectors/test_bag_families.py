"""The parts of the bag families, against calculations by hand."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.recommenders.base.batch import SIGNATURE, read_batch, to_tensors
from pipeline.recommenders.base.requests import build_requests
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.vectors.bag_fit import build_request_batches, label_log_probability
from pipeline.recommenders.vectors.bags import (
    UNKNOWN,
    Task,
    most_bought,
    restrict_items,
    widen_parts,
)
from pipeline.recommenders.vectors.irgan import discriminator_loss, draw, generator_loss
from pipeline.recommenders.vectors.item2vec import (
    draw_partners,
    fit_item_vectors,
    group_baskets,
    skip_gram_loss,
)
from pipeline.recommenders.vectors.lightgcn import Edges, LightGcnGraph, build_edges, propagate
from pipeline.recommenders.vectors.multvae import (
    MultVaeGraph,
    build_first_parts,
    build_loss,
    kl_divergence,
)
from tests.model import two_groups


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return two_groups.data()


class TestALimitedShop:
    def test_it_keeps_what_was_bought_most_before_validation(self, data: TrainingData) -> None:
        past = two_groups.events()
        past = past[past["timestamp"] < two_groups.day(two_groups.VALIDATION_DAY)]
        counts = past["item_id"].value_counts()
        kept = [data.vocabulary.ids[at - 1] for at in most_bought(data, 5)]
        assert sorted(counts[kept], reverse=True) == counts.iloc[:5].tolist()

    def test_its_histories_are_those_of_the_chosen_items(self, data: TrainingData) -> None:
        small = restrict_items(data, np.array([2, 5]))
        assert small.vocabulary.ids == ("item-01", "item-04")
        for user in ("user-00", "user-01"):
            before, after = data.histories.lines(user), small.histories.lines(user)
            kept = np.isin(data.histories.item[before], [2, 5])
            np.testing.assert_array_equal(
                np.array([0, 2, 5])[small.histories.item[after]],
                data.histories.item[before][kept],
            )
            np.testing.assert_array_equal(
                small.histories.time[after], data.histories.time[before][kept]
            )

    def test_every_column_of_its_histories_has_its_lines(self, data: TrainingData) -> None:
        lines = restrict_items(data, np.array([2, 5])).histories
        columns = (lines.time, lines.basket, lines.quantity, lines.price, lines.store)
        assert {len(column) for column in columns} == {len(lines.item)}

    def test_its_vectors_are_widened_to_the_whole_vocabulary(self) -> None:
        parts = {"items": np.array([[9.0], [1.0], [2.0]]), "bias": np.array([9.0, 3.0, 4.0])}
        wide = widen_parts(parts, ("items", "bias"), np.array([1, 3]), 5)
        assert wide["items"].ravel().tolist() == [0.0, 1.0, 0.0, 2.0, 0.0]
        assert wide["bias"].tolist() == [UNKNOWN, 3.0, UNKNOWN, 4.0, UNKNOWN]


def test_the_label_probability_leaves_index_0_out() -> None:
    logits = tf.constant([[50.0, 0.0, 0.0], [50.0, np.log(3.0), 0.0]])
    result = label_log_probability(logits, tf.constant([[0, 1], [1, 1], [1, 2]]))
    np.testing.assert_allclose(np.exp(result), [1 / 2, 3 / 4, 1 / 4], rtol=1e-6)


class TestMultVae:
    def test_the_kl_divergence_is_that_of_the_hand_calculation(self) -> None:
        """Half of (variance + mean^2 - 1 - log variance): (4 + 9 - 1 - ln 4) / 2 and 0."""
        mean, log_variance = tf.constant([[3.0], [0.0]]), tf.constant([[np.log(4.0)], [0.0]])
        result = kl_divergence(mean, tf.cast(log_variance, tf.float32))
        np.testing.assert_allclose(result, [6.0 - np.log(2.0), 0.0], rtol=1e-6)

    def test_the_loss_at_the_start_is_log_n(self, data: TrainingData) -> None:
        """Every item sells about as well as any other, so that popularity says nothing."""
        section = two_groups.params().multvae.model_copy(update={"kl_weight": 0.0})
        task = Task.of(data, section, 28, 1, None)[0]
        start = build_first_parts(task)
        graph = MultVaeGraph(task.popularity, 12, section.decay_days, start)
        learned = {name: tf.Variable(values) for name, values in start.items()}
        loss = build_loss(graph, learned, tf.Variable(0), section)
        batches, n_batches = build_request_batches(task.data, 64)
        losses = [float(loss(*batch)) for batch in batches(np.random.default_rng(1))]
        assert len(losses) == n_batches
        assert np.mean(losses) == pytest.approx(np.log(two_groups.N_ITEMS), abs=0.05)


class TestLightGcn:
    """One shopper buys item 1 once and item 2 four times: degrees 5, 1 and 4."""

    EDGES = Edges.of(np.array([0, 0, 0]), np.array([1, 2, 2]), np.array([1.0, 3.0, 1.0]), 1, 3)
    FIRST = tf.constant([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    TO_1, TO_2 = 1 / np.sqrt(5 * 1), 4 / np.sqrt(5 * 4)

    def test_edges_are_divided_by_the_roots_of_both_degrees(self) -> None:
        dense = tf.sparse.to_dense(self.EDGES.normal).numpy()
        np.testing.assert_allclose(dense, [[0.0, self.TO_1, self.TO_2]], rtol=1e-6)

    def test_two_layers_are_those_of_the_hand_calculation(self) -> None:
        """Layer 1 of the shopper is (TO_1, TO_2); layer 2 of the items is TO_i times that."""
        items, _ = propagate(self.FIRST, self.EDGES, 2)
        user = np.array([self.TO_1, self.TO_2])
        wanted = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        wanted[1] += self.TO_1 * user
        wanted[2] += self.TO_2 * user
        np.testing.assert_allclose(items, wanted / 3, rtol=1e-6)

    def test_the_sources_give_the_shopper_the_mean_over_all_layers(self) -> None:
        """Of zero, layer 1, nothing in layer 2, and layer 3."""
        _, sources = propagate(self.FIRST, self.EDGES, 3)
        user = np.array([self.TO_1, self.TO_2])
        third = self.TO_1 * (self.TO_1 * user) + self.TO_2 * (self.TO_2 * user)
        result = (1 * sources[1] + 4 * sources[2]) / np.sqrt(5)
        np.testing.assert_allclose(result, (user + third) / 4, rtol=1e-6)

    def test_a_request_gives_the_vector_that_propagation_gives(self, data: TrainingData) -> None:
        days, n_layers = 20.0, 4
        edges = build_edges(data, days)
        first = np.random.default_rng(0).normal(size=(13, 3)).astype(np.float32)
        items, sources = propagate(first, edges, n_layers)
        bias = np.zeros(13, np.float32)
        parts = {"items": items.numpy(), "sources": sources.numpy(), "bias": bias}
        graph = LightGcnGraph(np.ones(13), 12, days, parts)
        opens = np.full(4, two_groups.day(two_groups.VALIDATION_DAY).timestamp())
        requests = build_requests(data.histories, data.histories.user_ids[:4], opens)
        result = graph.embed(read_batch(to_tensors(requests)))
        np.testing.assert_allclose(
            result, by_hand(edges, first, n_layers)[:4], rtol=1e-4, atol=1e-6
        )


def by_hand(edges: Edges, first: np.ndarray, n_layers: int) -> np.ndarray:
    """Plain LightGCN on the whole adjacency matrix of shoppers and items."""
    normal = tf.sparse.to_dense(edges.normal).numpy()
    n_users, n_items = normal.shape
    whole = np.block(
        [[np.zeros((n_users, n_users)), normal], [normal.T, np.zeros((n_items, n_items))]]
    )
    layer = np.concatenate([np.zeros((n_users, first.shape[1])), first])
    total = layer.copy()
    for _ in range(n_layers):
        layer = whole @ layer
        total += layer
    return (total / (n_layers + 1))[:n_users]


class TestItem2Vec:
    def test_baskets_hold_the_lines_before_validation(self, data: TrainingData) -> None:
        item, basket = group_baskets(data)
        past = two_groups.events()
        past = past[past["timestamp"] < two_groups.day(two_groups.VALIDATION_DAY)]
        wanted = sorted(
            sorted(data.vocabulary.encode(lines["item_id"]).tolist())
            for _, lines in past.groupby("basket_id")
        )
        result = sorted(sorted(item[basket == n].tolist()) for n in range(basket.max() + 1))
        assert result == wanted

    def test_a_partner_is_another_line_of_the_same_basket(self) -> None:
        basket = np.repeat(np.arange(40), np.resize([2, 3, 7], 40))
        random = np.random.default_rng(0)
        drawn = np.array([draw_partners(basket, random) for _ in range(200)])
        assert (basket[drawn] == basket).all()
        assert (drawn != np.arange(len(basket))).all()
        seven = np.flatnonzero(basket == 2)
        counts = np.bincount(drawn[:, seven[0]], minlength=len(basket))[seven[1:]]
        assert counts.min() > 15  # each of six with probability 1/6: 33 expected

    def test_the_loss_without_knowledge_is_log_2_per_question(self) -> None:
        zeros = tf.zeros([3, 2])
        result = float(skip_gram_loss(zeros, zeros, tf.zeros([9, 2]), 5))
        assert result == pytest.approx(6 * np.log(2.0))

    @pytest.mark.slow
    def test_items_that_are_bought_together_are_nearest(
        self, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Baskets hold even items or odd ones."""
        monkeypatch.chdir(tmp_path)
        section = two_groups.params().item2vec
        vectors = fit_item_vectors(data, section, seed=1)
        assert vectors.shape == (13, section.embedding_dim)
        assert vectors[0].tolist() == [0.0] * section.embedding_dim
        similar = vectors[1:] @ vectors[1:].T
        np.testing.assert_allclose(np.diag(similar), 1.0, rtol=1e-5)
        nearest = np.argsort(-similar, axis=1)[:, :6]
        assert all(set(row % 2) == {at % 2} for at, row in enumerate(nearest))


class TestIrgan:
    LABELS = tf.constant([[0, 1], [1, 2], [1, 3]])

    def test_what_was_bought_is_never_drawn(self) -> None:
        logits = tf.constant(np.tile([9.0, 5.0, 5.0, 5.0, 0.0], (2, 1)).astype(np.float32))
        drawn = draw(logits, self.LABELS, 500, tf.constant([1, 2])).numpy()
        assert set(drawn[0]) == {2, 3, 4}
        assert set(drawn[1]) == {1, 4}

    def test_items_are_drawn_as_their_softmax_says(self) -> None:
        logits = tf.math.log([[9.0, 1.0, 1.0, 2.0]])
        drawn = draw(logits, tf.zeros([0, 2], tf.int32), 20_000, tf.constant([1, 2])).numpy()
        np.testing.assert_allclose(
            np.bincount(drawn[0])[1:] / 20_000, [0.25, 0.25, 0.5], atol=0.015
        )

    def test_the_discriminators_loss_at_the_start_is_two_log_2(self) -> None:
        reported, false = discriminator_loss(
            tf.zeros([2, 5]), self.LABELS, tf.ones([2, 3], tf.int32)
        )
        assert float(reported) == pytest.approx(2 * np.log(2.0))
        assert false.shape == (2, 3)

    def test_the_generator_learns_to_draw_the_hard_negative(self) -> None:
        """The discriminator takes item 4 for bought (0.9) and the others not (0.1)."""
        logits = tf.Variable(tf.zeros([1, 6]))
        optimizer = tf.keras.optimizers.SGD(1.0)
        chances = []
        for step in range(60):
            with tf.GradientTape() as tape:
                drawn = draw(logits, self.LABELS[:1], 64, tf.constant([7, step]))
                reward = tf.where(drawn == 4, 0.9, 0.1)
                loss = generator_loss(logits + 0.0, drawn, reward, 0.0)
            optimizer.apply_gradients([(tape.gradient(loss, logits), logits)])
            chances.append(float(tf.nn.softmax(logits[:, 1:])[0, 3]))
        assert chances[0] < 0.3
        assert chances[-1] > 0.8

    def test_equal_rewards_teach_nothing(self) -> None:
        logits = tf.Variable(tf.zeros([1, 4]))
        with tf.GradientTape() as tape:
            loss = generator_loss(logits + 0.0, tf.constant([[1, 1, 2]]), tf.ones([1, 3]), 0.0)
        np.testing.assert_array_equal(tape.gradient(loss, logits), np.zeros((1, 4)))

    def test_variety_is_what_the_entropy_says(self) -> None:
        """Of 3 items as likely: ln 3 nats; of 1/2, 1/4, 1/4: 1.5 ln 2 nats."""
        logits = tf.constant([[7.0, 0.0, 0.0, 0.0], [7.0, np.log(2.0), 0.0, 0.0]])
        loss = generator_loss(logits, tf.constant([[1], [1]]), tf.ones([2, 1]), 0.1)
        wanted = -0.1 * (np.log(3.0) + 1.5 * np.log(2.0)) / 2
        assert float(loss) == pytest.approx(wanted)


def test_a_batch_is_requests_labels_and_a_seed(data: TrainingData) -> None:
    batches, n_batches = build_request_batches(data, 50)
    result = list(batches(np.random.default_rng(0)))
    assert len(result) == n_batches == 9
    assert len(result[0]) == len(SIGNATURE) + 2
    n_labels = sum(len(labels) for labels in data.train["labels"])
    assert sum(len(batch[-2]) for batch in result) == n_labels

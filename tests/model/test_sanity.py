"""Where the field starts from: XOR, and gradients that are what calculus says they are."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.contracts.params import Params, RankerParams
from pipeline.recommenders.fitting.losses import listwise_softmax
from pipeline.recommenders.ranker.network import build_network
from tests.support import tiny_shop

pytestmark = pytest.mark.slow

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
ANSWER = np.array([0, 1, 1, 0], dtype=np.float32)
ENCODERS = ("none", "mlp", "cnn", "gru", "lstm", "transformer")
N_FEATURES, STEP, N_CHECKED = 5, 1e-5, 3


def sizes(**changes: Any) -> RankerParams:
    whole = Params.model_validate(tiny_shop.params()).families.ranker
    small = {"dropout": 0.0, "n_ages": 4, "encoder_dim": 4, "n_networks": 1}
    return whole.model_copy(update=small | changes)


ONE_KIND = tf.zeros(4, tf.int32)


def xor_network(encoder: str, hidden: tuple[int, ...], n_crosses: int = 0) -> Any:
    """The ranker's network with XOR's inputs as features, or as ages, and nothing else."""
    keras.utils.set_random_seed(4)
    params = sizes(hidden_dims=hidden, n_ages=2, encoder_dim=8, n_crosses=n_crosses)
    return build_network(np.full(2, 0.5), np.full(2, 0.5), params, encoder, n_kinds=1)


def accuracy_on_xor(network: Any, inputs: list[tf.Tensor]) -> float:
    optimizer = keras.optimizers.Adam(0.05)
    optimizer.build(network.trainable_variables)
    target = tf.constant(ANSWER)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            logits = network(inputs, training=True)[:, 0]
            loss = tf.nn.sigmoid_cross_entropy_with_logits(target, logits)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))

    for _ in range(400):
        step()
    result = network(inputs).numpy()[:, 0] > 0
    return float((result == (ANSWER > 0)).mean())


def test_a_cross_layer_learns_xor_without_a_hidden_layer() -> None:
    """XOR is a product of its inputs."""
    network = xor_network("none", (), n_crosses=1)
    assert accuracy_on_xor(network, [tf.constant(XOR), tf.zeros((4, 2)), ONE_KIND]) == 1.0


def test_a_linear_perceptron_cannot_learn_xor() -> None:
    """No line parts the four points: three of four is the most (Minsky and Papert, 1969)."""
    network = xor_network("none", ())
    assert (
        len(network.trainable_variables) == 3
    )  # weights, bias and the constant of the only kind: it is linear
    assert accuracy_on_xor(network, [tf.constant(XOR), tf.zeros((4, 2)), ONE_KIND]) <= 0.75


def test_the_mlp_learns_xor_of_features() -> None:
    network = xor_network("mlp", (8,))
    assert accuracy_on_xor(network, [tf.constant(XOR), tf.zeros((4, 2)), ONE_KIND]) == 1.0


def test_the_mlp_encoder_alone_learns_xor_of_ages() -> None:
    """Without hidden layers behind it, what is not linear is the encoder of ages."""
    network = xor_network("mlp", ())
    assert accuracy_on_xor(network, [tf.zeros((4, 2)), tf.constant(XOR), ONE_KIND]) == 1.0


@pytest.fixture
def double_precision() -> Iterator[None]:
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def lists() -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
    """Two requests of five and three candidates, the last without a purchase in some ages."""
    random = np.random.default_rng(8)
    features = random.normal(size=(8, N_FEATURES))
    ages = random.uniform(0.5, 5.0, size=(8, 4))
    ages[::3, 2:] = 0.0
    wanted = np.array([1, 0, 0, 1, 0, 0, 1, 0], dtype=np.float64)
    row = np.array([0, 0, 0, 0, 0, 1, 1, 1], dtype=np.int32)
    kinds = tf.constant([0, 1, 2, 1, 0, 2, 2, 1])
    return [tf.constant(features), tf.constant(ages), kinds], tf.constant(wanted), tf.constant(row)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("encoder", ENCODERS)
def test_gradients_equal_central_differences(encoder: str) -> None:
    """In double precision, for the largest gradients of every variable and all layers.

    A central difference is off by STEP squared, and by rounding over STEP: 1e-10. What is smaller
    than 1e-7 of the largest gradient is left out. ReLU and max pooling have kinks; a step of 1e-5
    crosses none here.
    """
    keras.utils.set_random_seed(6)
    network = build_network(
        np.zeros(N_FEATURES), np.ones(N_FEATURES), sizes(hidden_dims=(6, 4)), encoder, 3
    )
    random = np.random.default_rng(7)
    for variable in network.trainable_variables:  # biases of 0 put a ReLU onto its kink
        variable.assign(variable.numpy() + random.normal(scale=0.1, size=variable.shape))
    inputs, wanted, row = lists()

    def loss() -> tf.Tensor:
        return listwise_softmax64(network(inputs, training=False)[:, 0], wanted, row)

    with tf.GradientTape() as tape:
        value = loss()
    variables = network.trainable_variables
    gradients = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(value, variables)]
    largest = max(np.abs(g).max() for g in gradients)
    n_checked = 0
    for variable, gradient in zip(variables, gradients, strict=True):
        values = variable.numpy()
        for at in np.argsort(-np.abs(gradient).ravel())[:N_CHECKED]:
            place = np.unravel_index(at, values.shape)
            if abs(gradient[place]) < 1e-7 * largest:
                continue
            results = []
            for sign in (1, -1):
                moved = values.copy()
                moved[place] += sign * STEP
                variable.assign(moved)
                results.append(float(loss()))
            variable.assign(values)
            expected = (results[0] - results[1]) / (2 * STEP)
            assert gradient[place] == pytest.approx(expected, rel=1e-3), variable.path
            n_checked += 1
    assert n_checked > len(variables)


def listwise_softmax64(scores: tf.Tensor, wanted: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """The same loss written anew in double precision; it equals that of the pipeline."""
    parts = []
    for request in range(2):
        log_probability = tf.nn.log_softmax(scores[row == request])
        here = wanted[row == request]
        parts.append(-tf.reduce_sum(here * log_probability) / tf.reduce_sum(here))
    return tf.add_n(parts) / 2


def test_the_loss_of_the_pipeline_and_its_gradient_are_those_written_anew() -> None:
    _, wanted, row = lists()
    scores = tf.Variable(np.random.default_rng(9).normal(size=8))
    with tf.GradientTape() as tape:
        anew = listwise_softmax64(scores, wanted, row)
    single = tf.Variable(tf.cast(scores, tf.float32))
    place = tf.stack([row, tf.constant([0, 1, 2, 3, 4, 0, 1, 2])], axis=1)
    mask, by_request = (
        tf.scatter_nd(place, values, [2, 5])
        for values in (tf.ones_like(row), tf.cast(wanted, tf.float32))
    )
    with tf.GradientTape() as single_tape:
        ours = listwise_softmax(tf.scatter_nd(place, single, [2, 5]), by_request, mask > 0)
    assert float(ours) == pytest.approx(float(anew), rel=1e-6)
    np.testing.assert_allclose(
        single_tape.gradient(ours, single), tape.gradient(anew, scores), rtol=1e-5, atol=1e-7
    )

"""The fitting loop on a problem of two numbers: early stop, checkpoints and resuming."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.contracts.errors import TrainingError
from pipeline.recommenders.fitting.fit import (
    CHECKPOINTS,
    Fitted,
    Schedule,
    clear_checkpoints,
    fit,
    key_of,
)

EPOCHS, N_BATCHES = 4, 5
TARGET = (1.0, -2.0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def batches(random: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for _ in range(N_BATCHES):
        yield (tf.constant(random.normal(TARGET, 0.5), tf.float32),)


def run(
    validate: Callable[[tf.Variable], float] | None = None,
    *,
    key: str = "inputs",
    patience: int = EPOCHS,
) -> tuple[Fitted, list[float]]:
    weights = tf.Variable([0.0, 0.0])

    def loss(batch: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.square(weights - batch))

    fitted = fit(
        "toy",
        [weights],
        batches=batches,
        n_batches=N_BATCHES,
        loss=loss,
        validate=None if validate is None else lambda: validate(weights),
        schedule=Schedule(EPOCHS, patience, 0.1, 0.0, seed=5),
        key=key,
    )
    return fitted, weights.numpy().tolist()


def closeness(weights: tf.Variable) -> float:
    return -float(tf.reduce_sum(tf.square(weights - TARGET)))


class Interrupting:
    """Ctrl-C at the end of an epoch, before it is kept."""

    def __init__(self, epoch: int) -> None:
        self.left = epoch

    def __call__(self, weights: tf.Variable) -> float:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return closeness(weights)


class Scores:
    """Given scores, one per epoch."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)

    def __call__(self, _weights: tf.Variable) -> float:
        return self.scores.pop(0)


def test_it_learns() -> None:
    fitted, weights = run(closeness)
    losses = [row["loss"] for row in fitted.curve]
    assert [row["epoch"] for row in fitted.curve] == [1, 2, 3, 4]
    assert losses == sorted(losses, reverse=True)
    assert weights[0] > 0.5
    assert weights[1] < -0.5


@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_an_interrupted_fit_ends_as_an_uninterrupted_one(epoch: int) -> None:
    whole, expected = run(closeness)
    clear_checkpoints()
    with pytest.raises(KeyboardInterrupt):
        run(Interrupting(epoch))
    resumed, weights = run(closeness)
    assert weights == pytest.approx(expected, abs=1e-6)
    assert resumed.epochs == whole.epochs
    for got, wanted in zip(resumed.curve, whole.curve, strict=True):
        assert got == pytest.approx(wanted, abs=1e-6)


def test_resuming_does_not_repeat_epochs() -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Interrupting(3))
    left = Scores(8.0, 9.0)
    run(left)
    assert left.scores == []


def test_a_checkpoint_of_other_inputs_is_not_resumed() -> None:
    _, expected = run(closeness)
    clear_checkpoints()
    with pytest.raises(KeyboardInterrupt):
        run(Interrupting(2), key="others")
    _, weights = run(Scores(1.0, 2.0, 3.0, 4.0))  # four scores: it starts at the first epoch
    assert weights == pytest.approx(expected, abs=1e-6)


def test_a_checkpoint_of_other_code_is_not_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Interrupting(2))
    monkeypatch.setattr("pipeline.recommenders.fitting.fit.code_digest", lambda: "of other code")
    left = Scores(1.0, 2.0, 3.0, 4.0)  # four scores: it starts at the first epoch
    run(left)
    assert left.scores == []


def test_the_best_epoch_is_kept() -> None:
    seen: list[list[float]] = []
    scores = Scores(1.0, 3.0, 2.0, 0.0)

    def validate(weights: tf.Variable) -> float:
        seen.append(weights.numpy().tolist())
        return scores(weights)

    fitted, weights = run(validate)
    assert fitted.epochs == 2
    assert weights == seen[1]


def test_it_stops_when_patience_ends() -> None:
    fitted, _ = run(Scores(1.0, 0.5, 0.4, 9.0), patience=2)
    assert (fitted.epochs, len(fitted.curve)) == (1, 3)


def test_a_fit_that_stopped_early_is_over_when_it_is_resumed() -> None:
    _, expected = run(Scores(1.0, 0.5, 0.4), patience=2)
    fitted, weights = run(Scores(), patience=2)
    assert (fitted.epochs, len(fitted.curve)) == (1, 3)
    assert weights == pytest.approx(expected, abs=1e-6)


def test_without_validation_the_last_epoch_is_kept() -> None:
    fitted, weights = run(None)
    assert fitted.epochs == EPOCHS
    assert [row["validation"] for row in fitted.curve] == [None] * EPOCHS
    clear_checkpoints()
    _, best = run(Scores(1.0, 2.0, 3.0, 4.0))
    assert weights == pytest.approx(best, abs=1e-6)


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(TrainingError, match="batch 0 of epoch 1"):
        run_not_finite()


def run_not_finite() -> None:
    weights = tf.Variable([0.0])
    fit(
        "toy",
        [weights],
        batches=batches,
        n_batches=N_BATCHES,
        loss=lambda batch: tf.reduce_sum(tf.math.log(weights) * batch[0]),
        validate=None,
        schedule=Schedule(EPOCHS, EPOCHS, 0.1, 0.0, seed=5),
        key="inputs",
    )


def test_checkpoints_are_cleared() -> None:
    run(closeness)
    assert list(CHECKPOINTS.iterdir()) == [CHECKPOINTS / "toy.npz"]
    clear_checkpoints()
    assert list(CHECKPOINTS.iterdir()) == []


def test_a_key_depends_on_every_part_and_on_the_values_of_arrays() -> None:
    array = np.arange(3)
    assert key_of(1, array) == key_of(1, array.copy())
    assert len({key_of(1, array), key_of(2, array), key_of(1, array + 1), key_of(1)}) == 4

"""What bounds a training step of sasrec: input, blocks of attention, loss, optimizer."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.contracts.params import SasrecParams
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.fitting.family import validation_start
from pipeline.recommenders.sequence.sasrec import (
    Negatives,
    add_negatives,
    build_loss,
    build_network,
)
from pipeline.recommenders.sequence.sequences import WindowBatches, assign_codes, build_sequences

N_STEPS = 8


def profile(shop: TrainingData, params: SasrecParams) -> dict[str, Any]:
    """Return seconds of an epoch of training, tokens per second, and where a step's time goes.

    `step_seconds` are medians over batches of the widest windows; all batches have as many cells.
    `epoch_seconds` is the input of an epoch plus all its steps, without validation.
    `without_xla` and `with_xla` are the same step, the loss compiled or not.
    """
    opens = validation_start(shop)
    codes = assign_codes(shop.histories, len(shop.vocabulary), opens, params.maximum_items)
    sequences = build_sequences(shop.histories, codes, opens, params.max_length)
    windows = WindowBatches(sequences, params.max_length, params.batch_size)
    negatives = Negatives(sequences, params)
    began = time.perf_counter()
    batches = list(add_negatives(windows, negatives, np.random.default_rng(0)))
    input_seconds = time.perf_counter() - began
    widest = max(batch[0].shape[1] for batch in batches)
    few = [batch for batch in batches if batch[0].shape[1] == widest][:N_STEPS]

    def seconds(settings: SasrecParams, *, xla: bool = False) -> float:
        network = build_network(int(codes.max()) + 1, settings)
        loss = build_loss(network, negatives, settings)
        compiled = tf.function(loss, jit_compile=True) if xla else loss
        return median_seconds(step_of(compiled, list(network.trainable_variables)), few)

    step_seconds = {
        "whole": seconds(params),
        "without_blocks": seconds(params.model_copy(update={"n_blocks": 0})),
        "without_dropout": seconds(params.model_copy(update={"dropout": 0.0})),
        "with_xla": seconds(params, xla=True),
    }
    epoch_seconds = input_seconds + windows.n_batches * step_seconds["whole"]
    return {
        "tokens_per_epoch": sequences.n_tokens,
        "filled_fraction": round(sequences.n_tokens / windows.n_cells, 3),
        "batches_per_epoch": windows.n_batches,
        "input_seconds_per_epoch": round(input_seconds, 3),
        "step_seconds": {name: round(value, 4) for name, value in step_seconds.items()},
        "epoch_seconds": round(epoch_seconds, 2),
        "tokens_per_second": round(sequences.n_tokens / epoch_seconds),
    }


def step_of(loss: Callable[..., tf.Tensor], learned: list[Any]) -> Callable[..., tf.Tensor]:
    """Return a training step: loss, gradients, AdamW."""
    optimizer = keras.optimizers.AdamW(1e-3)
    optimizer.build(learned)

    def step(*batch: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(*batch)
        optimizer.apply_gradients(zip(tape.gradient(value, learned), learned, strict=True))
        return value

    traced: Callable[..., tf.Tensor] = tf.function(step, reduce_retracing=True)
    return traced


def median_seconds(step: Callable[..., tf.Tensor], batches: list[tuple[Any, ...]]) -> float:
    """Return the median seconds of a step; the first, which is traced, does not count."""
    float(step(*batches[0]))
    times = []
    for batch in batches:
        began = time.perf_counter()
        float(step(*batch))
        times.append(time.perf_counter() - began)
    return float(np.median(times))

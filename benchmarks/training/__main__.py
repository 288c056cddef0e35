"""How fast the default model learns and scores, and what bounds it.

    uv run python -m benchmarks.training

One run, one machine: the training step of the ranker beside the same network in plain Keras `fit`
on NumPy arrays, and the whole fit beside LightGBM's on the same features. The steps are measured
in turns, so that a busy moment hits all of them. Needs data/ and the dependency group `bench`.
Writes benchmarks/results/training.json.
"""

import time
from collections.abc import Callable
from contextlib import chdir
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.support.machine import write_result
from pipeline.contracts.params import Params, read_params
from pipeline.recommenders.base.tables import read_training_data
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.fitting.fit import set_seed
from pipeline.recommenders.ranker.features import NAMES
from pipeline.recommenders.ranker.repeat_fit import Lists, build_fresh_network, list_loss
from pipeline.runtime.stage import quiet_tools
from pipeline.training.fit.candidates import fit_family
from pipeline.training.search.search import Bench, build_bench

N_STEPS = 40
WARM_UP = 4
K = 10

Step = Callable[..., Any]


def steps(bench: Bench) -> dict[str, Any]:
    """Return median seconds of one batch: its input, and the step in several forms.

    `keras_fit` is one batch of `fit` on NumPy arrays of all pairs, with as many pairs as the
    average batch of lists has, binary cross-entropy and no listwise loss: what a plain script does.
    """
    lists, size = Lists(bench.train), bench.params.batch_size
    drawn = lists.batches(np.random.default_rng(0), size)
    ways: dict[str, Step] = {
        "step": _step(bench),
        "step_with_xla": _step(bench, xla=True),
        "forward_and_loss_only": _step(bench, learn=False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ("input", *ways)}
    n_pairs = []
    for at in range(N_STEPS + WARM_UP):
        began = time.perf_counter()
        batch = next(drawn)
        seconds["input"].append(time.perf_counter() - began)
        n_pairs.append(int(np.count_nonzero(batch[-1])))
        for name, step in ways.items():
            if name == "step_with_xla" and at >= 2 * WARM_UP:
                continue  # each shape is compiled anew: a few are enough to see it
            began = time.perf_counter()
            float(step(*batch))
            seconds[name].append(time.perf_counter() - began)
    found: dict[str, Any] = {
        name: round(float(np.median(each[WARM_UP:])), 4) for name, each in seconds.items()
    }
    mean_pairs = round(float(np.mean(n_pairs[WARM_UP:])))
    found["keras_fit"] = round(keras_fit(bench, mean_pairs), 4)
    whole = found["input"] + found["step"]
    return {
        "seconds": found,
        "pairs_per_batch": mean_pairs,
        "batches_per_epoch": lists.n_batches(size),
        "pairs_per_second": round(mean_pairs / whole),
        "input_share": round(found["input"] / whole, 3),
        "step_to_keras_fit": round(whole / found["keras_fit"], 3),
    }


def _step(bench: Bench, *, xla: bool = False, learn: bool = True) -> Step:
    network = build_fresh_network(bench.train, bench.n_kinds, bench.params, bench.family)
    learned = network.trainable_variables
    optimizer = keras.optimizers.AdamW(bench.params.learning_rate)
    optimizer.build(learned)

    def loss(*batch: tf.Tensor) -> tf.Tensor:
        return list_loss(network, batch, training=True)

    compiled = tf.function(loss, jit_compile=True, reduce_retracing=True) if xla else loss

    def step(*batch: tf.Tensor) -> tf.Tensor:
        if not learn:
            return compiled(*batch)
        with tf.GradientTape() as tape:
            value = compiled(*batch)
        optimizer.apply_gradients(zip(tape.gradient(value, learned), learned, strict=True))
        return value

    traced: Step = tf.function(step, reduce_retracing=True)
    return traced


def keras_fit(bench: Bench, batch_size: int) -> float:
    """Return the seconds of a batch in plain Keras `fit`, the first epoch left out."""
    several = build_fresh_network(bench.train, bench.n_kinds, bench.params, bench.family)
    network = keras.Model(several.inputs, keras.ops.mean(several.output, axis=1))
    network.compile(
        optimizer=keras.optimizers.AdamW(bench.params.learning_rate),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
    )
    some = slice(0, batch_size * N_STEPS)
    pairs = bench.train
    inputs = [
        pairs.features[some].astype(np.float32),
        pairs.ages[some].astype(np.float32),
        pairs.kind[some],
    ]
    wanted = (pairs.wanted[some] > 0).astype(np.float32)
    network.fit(inputs, wanted, batch_size=batch_size, epochs=1, verbose=0)
    began = time.perf_counter()
    network.fit(inputs, wanted, batch_size=batch_size, epochs=1, verbose=0)
    return (time.perf_counter() - began) / N_STEPS


def whole_fits(bench: Bench, shop: TrainingData, params: Params) -> dict[str, Any]:
    """Return the seconds of whole fits, and of scoring every shopper."""
    from benchmarks.quality.peers.boosting import train_booster

    began = time.perf_counter()
    train_booster([bench.train], np.arange(len(NAMES)), params.shop.seed)
    lightgbm = time.perf_counter() - began
    began = time.perf_counter()
    with TemporaryDirectory() as folder, chdir(folder):  # checkpoints go there
        fitted, recommender = fit_family(bench.family, shop, params.families, seed=params.shop.seed)
    family = time.perf_counter() - began
    last = shop.validation.drop_duplicates("user_id", keep="last").reset_index(drop=True)
    requests = shop.build_requests(last)
    recommender.recommend(requests.part(0, 256), K)
    began = time.perf_counter()
    recommender.recommend(requests, K)
    return {
        "lightgbm_fit_seconds": round(lightgbm, 1),
        "family_seconds": round(family, 1),
        "family_seconds_include": "features, network, explore head, debugging probes",
        "family_to_lightgbm": round(family / lightgbm, 3),
        "epochs": {part: fit.epochs for part, fit in fitted.fits.items()},
        "n_users_scored": len(requests),
        "scoring_seconds": round(time.perf_counter() - began, 2),
    }


def main() -> None:
    """Measure and write the result."""
    quiet_tools()
    params = read_params()
    set_seed(params.shop.seed)
    shop = read_training_data(params.shop, params.shop.windows().test_start, learn_from=("train",))
    family = params.training.families[0]
    began = time.perf_counter()
    bench = build_bench(family, shop, params)
    found: dict[str, Any] = {
        "family": family,
        "n_pairs": len(bench.train.item),
        "feature_seconds": round(time.perf_counter() - began, 1),
        "batch": steps(bench),
    }
    found |= whole_fits(bench, shop, params)
    write_result("training", found)
    for name, value in found.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()

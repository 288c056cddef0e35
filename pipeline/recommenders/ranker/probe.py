"""Debugging numbers of a fitted network: what training has to look at before quality counts.

They are only measured here; `pipeline.diagnosis` holds them against bounds.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.stats import rankdata

from pipeline.contracts.params import RankerParams
from pipeline.recommenders.fitting.fit import key_of
from pipeline.recommenders.ranker.examples import RepeatPairs
from pipeline.recommenders.ranker.features import NAMES
from pipeline.recommenders.ranker.graph import RankerGraph
from pipeline.recommenders.ranker.network import LIMIT, inputs_of
from pipeline.recommenders.ranker.repeat_fit import (
    Lists,
    RepeatValidation,
    fit_network,
    list_loss,
    network_for,
    scorer,
)

N_BY_HEART = 16
STEPS_BY_HEART = 150
RATE_BY_HEART = 0.01
N_FOR_AUC = 500
NEAR_ONE = 0.99
VALIDATION_STEP = 4
SMALLEST_BATCH = 4

Array = np.ndarray[Any, Any]


def probe_own(  # noqa: PLR0913  all that shaped the fit
    graph: RankerGraph,
    train: RepeatPairs,
    user: Array,
    validation: RepeatValidation,
    params: RankerParams,
    *,
    encoder: str,
    seed: int,
) -> dict[str, Any]:
    """Return debugging numbers of the fitted network of own items.

    Args:
        graph: With its fitted network.
        train: What it learned from.
        user: [n] user code of each training request.
        validation: What it stopped by.
        params: Layers, rates, learning_curve_fractions.
        encoder: Which history encoder.
        seed: Of the fit.
    """
    lists, network = Lists(train), graph.network
    first = next(lists.batches(np.random.default_rng([seed, 1]), params.batch_size))
    untaught = network_for(train, graph.features.n_types, plain(params), encoder)
    return {
        "expected_loss_at_start": float(np.log(first[-1].numpy().sum(axis=1)).mean()),
        **activity(network, first),
        "batch_loss_left": loss_left_by_heart(untaught, lists),
        "feature_auc": feature_aucs(validation.pairs),
        **learning_curve(
            train,
            user,
            validation,
            params,
            n_kinds=graph.features.n_types,
            encoder=encoder,
            seed=seed,
        ),
    }


def plain(params: RankerParams) -> RankerParams:
    """Return one network of the same layers without dropout."""
    return params.model_copy(update={"dropout": 0.0, "n_networks": 1})


def activity(network: Any, batch: tuple[Any, ...]) -> dict[str, float]:
    """Return the share of dead ReLU units, and of inputs and recurrent outputs at their limit.

    A unit is dead when it is 0 for every pair of the batch. An input is at its limit when it is
    cut at LIMIT deviations; the output of a recurrent encoder beyond NEAR_ONE.
    """
    *values, _, there = batch
    inputs = inputs_of(*(tf.boolean_mask(each, there) for each in values))
    hidden = [layer for layer in network.layers if _is_relu(layer)]
    normal = next(each for each in network.layers if isinstance(each, keras.layers.Normalization))
    history = [each for each in network.layers if each.name.startswith("ages_")]
    outputs = [normal.output, *(layer.output for layer in hidden)]
    standard, *active = keras.Model(network.inputs, outputs)(inputs, training=False)
    dead = [np.all(values.numpy() == 0, axis=0) for values in active]
    limits = [np.abs(standard.numpy()) >= LIMIT]
    for encoder in history:
        values = encoder(inputs[1]).numpy()
        if any(isinstance(layer, keras.layers.RNN | keras.layers.GRU | keras.layers.LSTM)
               for layer in encoder.layers):  # fmt: skip
            limits.append(np.abs(values) > NEAR_ONE)
        else:
            dead.append(np.all(values == 0, axis=0))
    return {
        "dead_fraction": float(np.concatenate(dead).mean()) if dead else 0.0,
        "saturated_fraction": max(float(values.mean()) for values in limits),
    }


def _is_relu(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Dense) and layer.activation is keras.activations.relu


def loss_left_by_heart(network: Any, lists: Lists) -> float:
    """Return the share of the loss above its floor that is left after learning one batch by heart.

    The floor is the entropy of the labels: a request with several wanted items cannot give each of
    them probability 1. A sound network gets near 0; the network is changed.
    """
    batch = next(lists.batches(np.random.default_rng(0), N_BY_HEART))
    relevance = batch[-2].numpy().astype(np.float64)
    share = relevance / relevance.sum(axis=1, keepdims=True)
    floor = -(share * np.log(np.maximum(share, 1e-12))).sum(axis=1).mean()
    optimizer = keras.optimizers.Adam(RATE_BY_HEART)
    optimizer.build(network.trainable_variables)

    @tf.function  # type: ignore[untyped-decorator]
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = list_loss(network, batch, training=True)
        gradients = tape.gradient(value, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return value

    losses = [float(step()) for _ in range(STEPS_BY_HEART)]
    return float((min(losses) - floor) / max(losses[0] - floor, 1e-9))


def feature_aucs(pairs: RepeatPairs) -> dict[str, float]:
    """Return how well each feature alone separates what was bought, whatever its direction.

    Area under the ROC curve within requests, 0.5 to 1, the mean over N_FOR_AUC requests evenly
    drawn among those that can tell, ties counting half.
    """
    n_wanted = np.bincount(pairs.row, weights=pairs.wanted > 0, minlength=pairs.n)
    size = np.bincount(pairs.row, minlength=pairs.n)
    telling = np.flatnonzero((n_wanted > 0) & (n_wanted < size))
    chosen = telling[:: max(1, len(telling) // N_FOR_AUC)]
    splits = np.searchsorted(pairs.row, np.arange(pairs.n + 1))
    parts = [slice(splits[at], splits[at + 1]) for at in chosen]
    areas = [_areas(pairs.features[part], pairs.wanted[part]) for part in parts]
    mean = np.mean(areas, axis=0)
    return {name: float(max(area, 1 - area)) for name, area in zip(NAMES, mean, strict=True)}


def _areas(features: Array, wanted: Array) -> Array:
    """Return [n_features] areas under the curve in one request."""
    hit = wanted > 0
    n_hits, n_others = hit.sum(), (~hit).sum()
    ranks = rankdata(features.astype(np.float32), axis=0)
    area: Array = (ranks[hit].sum(axis=0) - n_hits * (n_hits + 1) / 2) / (n_hits * n_others)
    return area


def learning_curve(  # noqa: PLR0913  all that shaped the fit
    train: RepeatPairs,
    user: Array,
    validation: RepeatValidation,
    params: RankerParams,
    *,
    n_kinds: int,
    encoder: str,
    seed: int,
) -> dict[str, Any]:
    """Return validation NDCG@10 of networks that learned from a share of the shoppers.

    The shares are nested; the last is all. Each network takes the steps of one epoch over all,
    otherwise fewer steps would look like less data: by smaller batches, and by more epochs where
    batches cannot be that small. One network each, not several side by side. Measured on a part of
    the validation users.

    Returns:
        learning_curve: rows of fraction and score; last_gain: the difference between the last two
        points, and its standard error over users. Nothing without fractions.
    """
    if not params.learning_curve_fractions:
        return {}
    asked = validation.part(VALIDATION_STEP)
    single = params.model_copy(update={"n_networks": 1})
    n_steps = Lists(train).n_batches(params.batch_size)
    place = np.random.default_rng(seed).permutation(int(user.max()) + 1)
    shares = [*sorted(params.learning_curve_fractions), 1.0]
    values = []
    for share in shares:
        chosen = place[user] < max(1, round(share * len(place)))
        part = network_for(train, n_kinds, single, encoder)
        name, size = f"network_{share:g}", max(SMALLEST_BATCH, round(share * params.batch_size))
        smaller = single.model_copy(update={"batch_size": size})
        lists = Lists(train, chosen)
        epochs = max(1, round(n_steps / lists.n_batches(size)))
        key = key_of(name, params, encoder, seed, epochs, train.wanted)
        fit_network(name, part, lists, None, smaller, seed=seed, epochs=epochs, key=key)
        values.append(asked.ndcg(scorer(part)))
    gain = values[-1] - values[-2]
    return {
        "learning_curve": [
            {"fraction": share, "score": float(np.nanmean(value))}
            for share, value in zip(shares, values, strict=True)
        ],
        "last_gain": {
            "difference": float(np.nanmean(gain)),
            "error": clustered_error(gain, asked.user),
        },
    }


def clustered_error(values: Array, cluster: Array) -> float:
    """Return the standard error of a mean whose values are alike within clusters; NaN left out.

    >>> round(clustered_error(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1])) ** 2, 6)
    0.5
    """
    there = ~np.isnan(values)
    off = values[there] - values[there].mean()
    sums = np.bincount(cluster[there], weights=off)
    return float(np.sqrt((sums**2).sum()) / there.sum())

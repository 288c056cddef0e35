"""Debugging numbers of a fitted network; `pipeline.testing.diagnosis` checks their bounds."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.stats import rankdata

from pipeline.contracts.family_metrics import DataShare, FitProbe, LastGain
from pipeline.contracts.params import RankerParams
from pipeline.recommenders.fitting.fit import key_of
from pipeline.recommenders.ranker.examples import RepeatPairs
from pipeline.recommenders.ranker.features import NAMES
from pipeline.recommenders.ranker.graph import RankerGraph
from pipeline.recommenders.ranker.network import LIMIT, build_inputs
from pipeline.recommenders.ranker.repeat_fit import (
    Lists,
    RepeatValidation,
    build_fresh_network,
    build_scorer,
    fit_network,
    list_loss,
)

N_OVERFIT = 16
OVERFIT_STEPS = 150
OVERFIT_RATE = 0.01
N_FOR_AUC = 500
NEAR_ONE = 0.99
VALIDATION_STEP = 4
SMALLEST_BATCH = 4

Array = np.ndarray[Any, Any]


def probe_repeat_ranker(  # noqa: PLR0913  all that shaped the fit
    graph: RankerGraph,
    train: RepeatPairs,
    user: Array,
    validation: RepeatValidation,
    params: RankerParams,
    *,
    encoder: str,
    seed: int,
) -> FitProbe:
    """Return debugging numbers of the fitted network for repeat candidates.

    Args:
        graph: Graph that contains the fitted network.
        train: Training pairs.
        user: [n] user code of each training request.
        validation: Validation pairs of the fit.
        params: Layers, rates, learning_curve_fractions.
        encoder: Name of the history encoder.
        seed: Seed of the fit.
    """
    lists, network = Lists(train), graph.network
    first = next(lists.batches(np.random.default_rng([seed, 1]), params.batch_size))
    fresh = build_fresh_network(train, graph.features.n_types, without_dropout(params), encoder)
    learning_curve, last_gain = fit_learning_curve(
        train,
        user,
        validation,
        params,
        n_kinds=graph.features.n_types,
        encoder=encoder,
        seed=seed,
    )
    return FitProbe(
        expected_loss_at_start=float(np.log(first[-1].numpy().sum(axis=1)).mean()),
        **measure_activity(network, first),
        batch_loss_left=measure_overfit_loss(fresh, lists),
        feature_auc=feature_aucs(validation.pairs),
        learning_curve=learning_curve,
        last_gain=last_gain,
    )


def without_dropout(params: RankerParams) -> RankerParams:
    """Return the parameters of a single network without dropout."""
    return params.model_copy(update={"dropout": 0.0, "n_networks": 1})


def measure_activity(network: Any, batch: tuple[Any, ...]) -> dict[str, float]:
    """Return the share of dead ReLU units, and of saturated inputs and recurrent outputs.

    A unit is dead if it is 0 for every pair of the batch. An input is saturated at LIMIT
    deviations, the output of a recurrent encoder beyond NEAR_ONE.
    """
    *values, _, mask = batch
    inputs = build_inputs(*(tf.boolean_mask(entry, mask) for entry in values))
    hidden = [layer for layer in network.layers if _is_relu(layer)]
    normal = next(
        entry for entry in network.layers if isinstance(entry, keras.layers.Normalization)
    )
    history = [entry for entry in network.layers if entry.name.startswith("ages_")]
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


def measure_overfit_loss(network: Any, lists: Lists) -> float:
    """Return the remaining share of the loss above its floor after overfitting one batch.

    The floor is the entropy of the labels, since several labels of a request share probability 1.
    A sound network gets near 0. The function changes the network.
    """
    batch = next(lists.batches(np.random.default_rng(0), N_OVERFIT))
    relevance = batch[-2].numpy().astype(np.float64)
    share = relevance / relevance.sum(axis=1, keepdims=True)
    floor = -(share * np.log(np.maximum(share, 1e-12))).sum(axis=1).mean()
    optimizer = keras.optimizers.Adam(OVERFIT_RATE)
    optimizer.build(network.trainable_variables)

    @tf.function  # type: ignore[untyped-decorator]
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = list_loss(network, batch, training=True)
        gradients = tape.gradient(value, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return value

    losses = [float(step()) for _ in range(OVERFIT_STEPS)]
    return float((min(losses) - floor) / max(losses[0] - floor, 1e-9))


def feature_aucs(pairs: RepeatPairs) -> dict[str, float]:
    """Return how well each feature alone separates bought items, in either direction.

    The value is the area under the ROC curve within a request, 0.5..1, averaged over N_FOR_AUC
    evenly spaced requests with labels and non-labels. Ties count half.
    """
    n_wanted = np.bincount(pairs.row, weights=pairs.wanted > 0, minlength=pairs.n)
    size = np.bincount(pairs.row, minlength=pairs.n)
    useful = np.flatnonzero((n_wanted > 0) & (n_wanted < size))
    chosen = useful[:: max(1, len(useful) // N_FOR_AUC)]
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


def fit_learning_curve(  # noqa: PLR0913  all that shaped the fit
    train: RepeatPairs,
    user: Array,
    validation: RepeatValidation,
    params: RankerParams,
    *,
    n_kinds: int,
    encoder: str,
    seed: int,
) -> tuple[tuple[DataShare, ...], LastGain | None]:
    """Return the validation NDCG@10 of networks fitted on growing shares of the users.

    The shares are nested and end with all users. Each fit takes the same number of steps as an
    epoch on all data, by smaller batches or more epochs, so that the curve shows the effect of
    data alone. Each point is a single network, measured on a part of the validation users.

    Returns:
        The points; the difference of the last two, with its standard error over users. No points
        and None without fractions.
    """
    if not params.learning_curve_fractions:
        return (), None
    sample = validation.part(VALIDATION_STEP)
    single = params.model_copy(update={"n_networks": 1})
    n_steps = Lists(train).n_batches(params.batch_size)
    position = np.random.default_rng(seed).permutation(int(user.max()) + 1)
    shares = [*sorted(params.learning_curve_fractions), 1.0]
    values = []
    for share in shares:
        chosen = position[user] < max(1, round(share * len(position)))
        part = build_fresh_network(train, n_kinds, single, encoder)
        name, size = f"network_{share:g}", max(SMALLEST_BATCH, round(share * params.batch_size))
        smaller = single.model_copy(update={"batch_size": size})
        lists = Lists(train, chosen)
        epochs = max(1, round(n_steps / lists.n_batches(size)))
        key = key_of(name, params, encoder, seed, epochs, train.wanted)
        fit_network(name, part, lists, None, smaller, seed=seed, epochs=epochs, key=key)
        values.append(sample.ndcg(build_scorer(part)))
    gain = values[-1] - values[-2]
    points = tuple(
        DataShare(fraction=share, score=float(np.nanmean(value)))
        for share, value in zip(shares, values, strict=True)
    )
    error = clustered_error(gain, sample.user)
    return points, LastGain(difference=float(np.nanmean(gain)), error=error)


def clustered_error(values: Array, cluster: Array) -> float:
    """Return the standard error of the mean of clustered values, ignoring NaN.

    >>> round(clustered_error(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1])) ** 2, 6)
    0.5
    """
    is_known = ~np.isnan(values)
    off = values[is_known] - values[is_known].mean()
    sums = np.bincount(cluster[is_known], weights=off)
    return float(np.sqrt((sums**2).sum()) / is_known.sum())

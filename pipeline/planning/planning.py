"""From the source to the plan: profile, baselines, ceiling, learning curves, target, cost."""

from dataclasses import dataclass

import numpy as np

from pipeline.contracts.errors import DataQualityError
from pipeline.contracts.params import Params
from pipeline.contracts.plan import Baseline, Estimate, Plan, Target, Viability
from pipeline.planning.costs import stage_costs
from pipeline.planning.counting import (
    Counting,
    CountingRequests,
    Doubles,
    K,
    filled,
    personal_lists,
    popular_items,
    requests_between,
)
from pipeline.planning.curves import learning_curves
from pipeline.planning.estimates import Resampling
from pipeline.planning.history import History, Ints, microseconds, read_history
from pipeline.planning.outliers import name_heavy_accounts
from pipeline.planning.policy import label_policy
from pipeline.planning.profile import profile
from pipeline.planning.reach import OWN_ITEMS, best_values, reachable, reaches
from pipeline.planning.viability import needs
from pipeline.sources import Source

POPULAR = "popular"


@dataclass(frozen=True, eq=False)
class Measured:
    """A method's primary metric per request; `own` are its personal lists before filling."""

    name: str
    values: Doubles
    way: Counting | None
    own: Ints


def make_plan(source: Source, params: Params) -> Plan:
    """Return the plan for `source`.

    Raises:
        SourceError: The source cannot be read.
        DataQualityError: No basket in the validation window, or nothing before it.
    """
    history = read_history(source, params)
    until = microseconds(params.shop.windows().validation_start)
    requests = requests_between(
        history,
        until,
        params.labeling.minimum_earlier_baskets,
        (params.labeling.maximum_user_baskets, params.labeling.train_examples_per_user_window),
    )
    _check_windows(history, requests, until, params)
    draw = Resampling(
        requests.user,
        params.planning.bootstrap_samples,
        params.testing.confidence,
        params.shop.seed,
    )
    methods = measure_baselines(history, requests, until, params)
    best = max(methods[1:], key=lambda method: method.values.mean())
    assert best.way is not None
    about = profile(source, history, params)
    name_heavy_accounts(history)
    metric, n_explore = params.planning.primary_metric, params.planning.explore_catalogue
    curves = learning_curves(history, requests, (best.way, best.own), params, draw)
    plan = Plan(
        objective=params.planning.objective,
        primary_metric=metric,
        target=_target(history, requests, best.values, params, draw),
        baseline=_baseline(best, draw),
        guardrails=params.planning.guardrails,
        profile=about,
        baselines=tuple(_baseline(method, draw) for method in methods),
        ceiling=reaches(history, requests, n_explore=n_explore, until=until, metric=metric),
        learning_curves=curves,
        viability=_viability(requests, methods, best, params, draw),
        label_policy=label_policy(about, history, requests, params),
        costs=stage_costs(about, params),
    )
    found = plan.viability.model_copy(update={"needs": needs(plan, params.planning)})
    return plan.model_copy(update={"viability": found})


def measure_baselines(
    history: History, requests: CountingRequests, until: int, params: Params
) -> list[Measured]:
    """Return the popular list, then each way to count, per request."""
    metric = params.planning.primary_metric
    popular = popular_items(history, until, params.planning.popular_days)
    ways = [Counting(None), *(Counting(days) for days in params.planning.decay_days)]
    nothing = np.zeros((len(requests.user), K), np.int64)
    methods = [Measured(POPULAR, requests.measure(filled(nothing, popular), metric), None, nothing)]
    for way, own in zip(ways, personal_lists(history, requests, ways), strict=True):
        values = requests.measure(filled(own, popular), metric)
        methods.append(Measured(way.name(), values, way, own))
    return methods


def _baseline(method: Measured, draw: Resampling) -> Baseline:
    return Baseline(name=method.name, **draw.estimate(method.values).model_dump())


def _target(
    history: History, requests: CountingRequests, values: Doubles, params: Params, draw: Resampling
) -> Target:
    """The baseline plus a share of the way to a perfect ranking of the shopper's own history."""
    until = microseconds(params.shop.windows().validation_start)
    found = reachable(history, requests, n_explore=0, until=until)[OWN_ITEMS]
    metric, share = params.planning.primary_metric, params.planning.target_headroom_fraction
    perfect = best_values(found, requests, metric)
    estimate = draw.estimate(values + share * (perfect - values))
    return Target(
        metric=metric,
        derivation=f"the best counting method plus {100 * share:g} % of what separates it from a "
        "perfect ranking of each shopper's own history, on the validation window",
        **estimate.model_dump(),
    )


def _viability(
    requests: CountingRequests,
    methods: list[Measured],
    best: Measured,
    params: Params,
    draw: Resampling,
) -> Viability:
    others = [method for method in methods[1:] if method is not best]
    return Viability(
        n_requests=len(requests.user),
        n_warm_requests=requests.n_warm,
        n_users=len(np.unique(requests.user)),
        gain=_gain(best.values - methods[0].values, draw),
        minimum_gain=params.planning.minimum_gain,
        detectable_improvement=max(draw.half_width(best.values - o.values) for o in others),
        needs=(),
    )


def _gain(values: Doubles, draw: Resampling) -> Estimate:
    return draw.estimate(values, low=-1.0)


def _check_windows(
    history: History, requests: CountingRequests, until: int, params: Params
) -> None:
    windows = params.shop.windows()
    span = f"{windows.validation_start:%Y-%m-%d} to {windows.test_start:%Y-%m-%d}"
    action = "Set shop.as_of to a day by which the data fill both windows, or bring more data."
    if not len(requests.user):
        raise DataQualityError(
            f"baskets in the validation window {span}",
            received=f"none (shop.as_of is {params.shop.as_of})",
            action=action,
        )
    if history.time.min() >= until:
        raise DataQualityError(
            f"purchases before the validation window {span}",
            received="none: the data begin inside it",
            action=action,
        )

"""The plan of a source: profile, baselines, ceiling, learning curves, target, cost."""

from dataclasses import dataclass

import numpy as np

from pipeline.contracts.errors import DataQualityError
from pipeline.contracts.params import Params
from pipeline.contracts.plan import Baseline, Estimate, Plan, Target, Viability
from pipeline.planning.costs import estimate_costs
from pipeline.planning.curves import build_learning_curves
from pipeline.planning.estimates import Resampling
from pipeline.planning.frequency import (
    Doubles,
    FrequencyBaseline,
    K,
    PlanningRequests,
    fill_lists,
    personal_lists,
    popular_items,
    select_requests,
)
from pipeline.planning.history import History, Ints, microseconds, read_history
from pipeline.planning.outliers import log_heavy_accounts
from pipeline.planning.policy import build_label_policy
from pipeline.planning.profile import build_profile
from pipeline.planning.reach import OWN_HISTORY, best_values, find_reachable, measure_reach
from pipeline.planning.viability import describe_needs
from pipeline.sources import Source

POPULAR = "popular"


@dataclass(frozen=True, eq=False)
class MeasuredBaseline:
    """A baseline's primary metric per request, and its personal lists before filling."""

    name: str
    values: Doubles
    baseline: FrequencyBaseline | None
    lists: Ints


def build_plan(source: Source, params: Params) -> Plan:
    """Return the plan for `source`.

    Raises:
        SourceError: If the source cannot be read.
        DataQualityError: If no basket lies in the validation window, or no purchase before it.
    """
    history = read_history(source, params)
    until = microseconds(params.shop.windows().validation_start)
    requests = select_requests(
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
    best = max(methods[1:], key=lambda measured: measured.values.mean())
    assert best.baseline is not None
    profile = build_profile(source, history, params)
    log_heavy_accounts(history)
    metric, n_explore = params.planning.primary_metric, params.planning.explore_catalogue
    curves = build_learning_curves(history, requests, (best.baseline, best.lists), params, draw)
    plan = Plan(
        objective=params.planning.objective,
        primary_metric=metric,
        target=_target(history, requests, best.values, params, draw),
        baseline=_baseline(best, draw),
        guardrails=params.planning.guardrails,
        profile=profile,
        baselines=tuple(_baseline(method, draw) for method in methods),
        ceiling=measure_reach(history, requests, n_explore=n_explore, until=until, metric=metric),
        learning_curves=curves,
        viability=_viability(requests, methods, best, params, draw),
        label_policy=build_label_policy(profile, history, requests, params),
        costs=estimate_costs(profile, params),
    )
    needs = describe_needs(plan, params.planning)
    return plan.model_copy(update={"viability": plan.viability.model_copy(update={"needs": needs})})


def measure_baselines(
    history: History, requests: PlanningRequests, until: int, params: Params
) -> list[MeasuredBaseline]:
    """Return the results of the popular list, then of each frequency baseline."""
    metric = params.planning.primary_metric
    popular = popular_items(history, until, params.planning.popular_days)
    baselines = [
        FrequencyBaseline(None),
        *(FrequencyBaseline(days) for days in params.planning.decay_days),
    ]
    empty = np.zeros((len(requests.user), K), np.int64)
    methods = [
        MeasuredBaseline(POPULAR, requests.measure(fill_lists(empty, popular), metric), None, empty)
    ]
    for baseline, lists in zip(
        baselines, personal_lists(history, requests, baselines), strict=True
    ):
        values = requests.measure(fill_lists(lists, popular), metric)
        methods.append(MeasuredBaseline(baseline.name(), values, baseline, lists))
    return methods


def _baseline(method: MeasuredBaseline, draw: Resampling) -> Baseline:
    return Baseline(name=method.name, **draw.estimate(method.values).model_dump())


def _target(
    history: History, requests: PlanningRequests, values: Doubles, params: Params, draw: Resampling
) -> Target:
    """Return the target: the baseline plus a share of the headroom to a perfect ranking."""
    until = microseconds(params.shop.windows().validation_start)
    reachable_labels = find_reachable(history, requests, n_explore=0, until=until)[OWN_HISTORY]
    metric, share = params.planning.primary_metric, params.planning.target_headroom_fraction
    perfect = best_values(reachable_labels, requests, metric)
    estimate = draw.estimate(values + share * (perfect - values))
    return Target(
        metric=metric,
        derivation=f"the best frequency baseline plus {100 * share:g} % of its distance to a "
        "perfect ranking of each shopper's own history, on the validation window",
        **estimate.model_dump(),
    )


def _viability(
    requests: PlanningRequests,
    methods: list[MeasuredBaseline],
    best: MeasuredBaseline,
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
    history: History, requests: PlanningRequests, until: int, params: Params
) -> None:
    windows = params.shop.windows()
    span = f"{windows.validation_start:%Y-%m-%d} to {windows.test_start:%Y-%m-%d}"
    action = "Set shop.as_of to a day by which the data fill both windows, or add data."
    if not len(requests.user):
        raise DataQualityError(
            f"baskets in the validation window {span}",
            received=f"none (shop.as_of is {params.shop.as_of})",
            action=action,
        )
    if history.time.min() >= until:
        raise DataQualityError(
            f"purchases before the validation window {span}",
            received="none: the data begin inside the window",
            action=action,
        )

"""Learning curves: the best frequency baseline on fractions of the data, extrapolated to more.

There are two axes. More weeks of history add information about each user. More users add none to
another user's frequencies; they improve the popular list, cover more of the catalogue, and narrow
every interval.

The extrapolation fits limit - drop * size^-exponent to each resample of the users, with drop >= 0:
more data never lowers the curve.

References:
    Hestness et al., 2017, arXiv:1712.00409 (power laws of learning curves).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.contracts.params import Params
from pipeline.contracts.plan import CurvePoint, Estimate, LearningCurve
from pipeline.planning.estimates import Resampling, round_number
from pipeline.planning.frequency import (
    Doubles,
    FrequencyBaseline,
    PlanningRequests,
    fill_lists,
    personal_lists,
    popular_items,
)
from pipeline.planning.history import MICROSECONDS_PER_DAY, History, Ints, microseconds

Bools = npt.NDArray[np.bool_]

EXPONENTS = np.geomspace(0.1, 4.0, 25)
GROWTH = 2.0  # the curve is extrapolated to twice the data


@dataclass(frozen=True, eq=False)
class SampleResult:
    """Results on one fraction of the data.

    Attributes:
        values: [n] primary metric of the best frequency baseline, per request.
        popular: [n] primary metric of the popular list.
        half_widths: Half the interval of the mean, and of the gain over the popular list.
        known: Share of wanted items that sold in this fraction of the data, in 0..1.
    """

    values: Doubles
    popular: Doubles
    half_widths: tuple[float, float]
    known: float


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """limit - drop * (size / scale)^-exponent, one curve per sample."""

    limit: Doubles
    drop: Doubles
    exponent: Doubles
    scale: float

    def at(self, size: float) -> Doubles:
        """Return [n_samples] the curves' values at `size`."""
        return self.limit - self.drop * (size / self.scale) ** -self.exponent


def fit_power_law(sizes: Doubles, values: Doubles) -> PowerLaw:
    """Fit a saturating power law to each row of `values` by least squares.

    Args:
        sizes: [n_points], rising.
        values: [n_samples, n_points] in 0..1.
    """
    scale = float(sizes[-1])
    worst = np.full(len(values), np.inf)
    best = np.zeros((3, len(values)))
    for exponent in EXPONENTS:
        shape = (sizes / scale) ** -exponent
        centred = shape - shape.mean()
        spread = max(float(centred @ centred), np.finfo(float).tiny)  # 0 when all sizes are equal
        drop = np.maximum(-(values @ centred) / spread, 0.0)
        limit = values.mean(axis=1) + drop * shape.mean()
        error = ((limit[:, None] - drop[:, None] * shape - values) ** 2).sum(axis=1)
        better = (error < worst) & (limit <= 1.0)
        worst[better] = error[better]
        best[:, better] = np.stack([limit, drop, np.full(len(values), exponent)])[:, better]
    return PowerLaw(best[0], best[1], best[2], scale)


def build_learning_curves(
    history: History,
    requests: PlanningRequests,
    best: tuple[FrequencyBaseline, Ints],
    params: Params,
    draw: Resampling,
) -> tuple[LearningCurve, LearningCurve]:
    """Return the curves over weeks of history and over users.

    Args:
        history: All lines.
        requests: The baskets to predict, the same for every fraction of the data.
        best: The best frequency baseline, and its personal lists.
        params: Fractions, repeats, and the popular list's window.
        draw: Resampling of the users.
    """
    return (
        _weeks(history, requests, best[0], params, draw),
        _users(history, requests, best[1], params, draw),
    )


def _weeks(
    history: History,
    requests: PlanningRequests,
    best: FrequencyBaseline,
    params: Params,
    draw: Resampling,
) -> LearningCurve:
    """Return the curve over weeks: histories that start later."""
    until = microseconds(params.shop.windows().validation_start)
    length = until - int(history.time.min())
    fractions = sorted(params.planning.learning_curve_fractions)
    since = [until - int(fraction * length) for fraction in fractions]
    lists_by_start = personal_lists(
        history, requests, [FrequencyBaseline(best.decay_days, s) for s in since]
    )
    metric, days = params.planning.primary_metric, params.planning.popular_days
    results = []
    for begin, lists in zip(since, lists_by_start, strict=True):
        span = (until - begin) // MICROSECONDS_PER_DAY
        popular = popular_items(history, until, max(min(days, span), 1))
        values = requests.measure(fill_lists(lists, popular), metric)
        plain = requests.measure(_only(popular, lists), metric)
        known = _known(history, requests, (history.time >= begin) & (history.time < until))
        results.append(SampleResult(values, plain, (0.0, draw.half_width(values - plain)), known))
    weeks = np.array(fractions) * length / (7 * MICROSECONDS_PER_DAY)
    return build_curve("weeks of history", (fractions, weeks), results, draw)


def _users(
    history: History, requests: PlanningRequests, lists: Ints, params: Params, draw: Resampling
) -> LearningCurve:
    """Return the curve over users: popular lists and intervals of subsets of users."""
    fractions = sorted(params.planning.learning_curve_fractions)
    results = []
    for fraction in fractions:
        subsets = _subsets(history.n_users(), fraction, params)
        repeats = [
            _measure_subset(history, requests, lists, users, params, draw) for users in subsets
        ]
        results.append(
            SampleResult(
                np.mean([repeat.values for repeat in repeats], axis=0),
                np.mean([repeat.popular for repeat in repeats], axis=0),
                tuple(np.mean([repeat.half_widths for repeat in repeats], axis=0)),
                float(np.mean([repeat.known for repeat in repeats])),
            )
        )
    sizes = np.array([max(round(f * history.n_users()), 1) for f in fractions], dtype=float)
    intervals = [_around(float(result.values.mean()), result.half_widths[0]) for result in results]
    return build_curve("users", (fractions, sizes), results, draw, intervals)


def _subsets(n_users: int, fraction: float, params: Params) -> list[Bools]:
    """Return masks of random users; a larger fraction contains the users of a smaller one."""
    n_chosen = max(round(fraction * n_users), 1)
    repeats = params.planning.learning_curve_repeats if n_chosen < n_users else 1
    subsets = []
    for repeat in range(repeats):
        order = np.random.default_rng([params.shop.seed, repeat]).permutation(n_users)
        chosen = np.zeros(n_users, bool)
        chosen[order[:n_chosen]] = True
        subsets.append(chosen)
    return subsets


def _measure_subset(
    history: History,
    requests: PlanningRequests,
    lists: Ints,
    chosen: Bools,
    params: Params,
    draw: Resampling,
) -> SampleResult:
    """Return the results of all requests with a popular list of the `chosen` users only.

    The half widths are those of the chosen users' requests.
    """
    until = microseconds(params.shop.windows().validation_start)
    metric, days = params.planning.primary_metric, params.planning.popular_days
    popular = popular_items(history, until, days, chosen)
    values = requests.measure(fill_lists(lists, popular), metric)
    plain = requests.measure(_only(popular, lists), metric)
    is_chosen = chosen[requests.user]
    subset = Resampling(requests.user[is_chosen], draw.n_samples, draw.confidence, draw.seed)
    half_widths = (
        subset.half_width(values[is_chosen]),
        subset.half_width((values - plain)[is_chosen]),
    )
    known = _known(history, requests, chosen[history.user] & (history.time < until))
    return SampleResult(values, plain, half_widths, known)


def _only(popular: Ints, like: Ints) -> Ints:
    return fill_lists(np.zeros_like(like), popular)


def _known(history: History, requests: PlanningRequests, lines: Bools) -> float:
    """Return the share of wanted items that sold in `lines`."""
    seen = np.zeros(history.n_items() + 1, bool)
    seen[history.item[lines]] = True
    return float(seen[requests.label_items].mean())


def _around(value: float, half_width: float) -> Estimate:
    low, high = max(value - half_width, 0.0), min(value + half_width, 1.0)
    return Estimate(value=round_number(value), low=round_number(low), high=round_number(high))


def build_curve(
    axis: str,
    shares: tuple[list[float], Doubles],
    results: list[SampleResult],
    draw: Resampling,
    intervals: list[Estimate] | None = None,
) -> LearningCurve:
    """Return the measured points, the fitted limit, the extrapolation and its test.

    The intervals of fitted values reflect the measured users on either axis; users still to come do
    not narrow them.

    Args:
        axis: Name of the axis.
        shares: Fractions of the data, and [n_points] their sizes, both rising.
        results: Result of each fraction.
        draw: Resampling of the users.
        intervals: Intervals of the measured points; None to resample the users.
    """
    fractions, sizes = shares
    values = np.stack([result.values for result in results], axis=1)
    samples = np.vstack([values.mean(axis=0), draw.means(values)])
    fitted, before = fit_power_law(sizes, samples), fit_power_law(sizes[:-1], samples[:, :-1])
    extrapolated_size = float(sizes[-1] * GROWTH)

    def estimate(column: Doubles) -> Estimate:
        return draw.interval(float(column[0]), column[1:])

    measured = intervals or [estimate(column) for column in samples.T]
    points = tuple(
        CurvePoint(
            fraction=fractions[i],
            size=round_number(sizes[i]),
            popular=round_number(results[i].popular.mean()),
            gain_half_width=round_number(results[i].half_widths[1]),
            known_item_fraction=round_number(results[i].known),
            **measured[i].model_dump(),
        )
        for i in range(len(sizes))
    )
    return LearningCurve(
        axis=axis,
        points=points,
        limit=estimate(fitted.limit),
        extrapolated_size=round_number(extrapolated_size),
        extrapolated=estimate(fitted.at(extrapolated_size)),
        hidden_point=estimate(before.at(float(sizes[-1]))),
    )

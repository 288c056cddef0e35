"""Learning curves: what the best counting method reaches with less, and so with more.

Two axes, because they act differently. More weeks of history tell more about each shopper. More
shoppers tell nothing about one of them who counts her own purchases; they sharpen the popular
list, make more of the catalogue known, and narrow every interval.

The extrapolation fits limit - drop * size^-exponent to each resample of the users; more data
never hurt a fit (drop >= 0).

References:
    Hestness et al., 2017, arXiv:1712.00409 (power laws of learning curves).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.contracts.params import Params
from pipeline.contracts.plan import CurvePoint, Estimate, LearningCurve
from pipeline.planning.counting import (
    Counting,
    CountingRequests,
    Doubles,
    filled,
    personal_lists,
    popular_items,
)
from pipeline.planning.estimates import Resampling, rounded
from pipeline.planning.history import MICROSECONDS_PER_DAY, History, Ints, microseconds

Bools = npt.NDArray[np.bool_]

EXPONENTS = np.geomspace(0.1, 4.0, 25)
GROWTH = 2.0  # the extrapolation: twice the data


@dataclass(frozen=True, eq=False)
class SampleResult:
    """What one share of the data gives.

    Attributes:
        values: [n] the primary metric of the best way to count, per request.
        popular: [n] that of the popular list.
        half_widths: Half of the interval of the mean, and of the gain over the popular list.
        known: Share of wanted items that sold in this share of the data.
    """

    values: Doubles
    popular: Doubles
    half_widths: tuple[float, float]
    known: float


@dataclass(frozen=True, eq=False)
class Fit:
    """limit - drop * (size / scale)^-exponent, one per sample."""

    limit: Doubles
    drop: Doubles
    exponent: Doubles
    scale: float

    def at(self, size: float) -> Doubles:
        """Return [n_samples] the curve at `size`."""
        return self.limit - self.drop * (size / self.scale) ** -self.exponent


def fit(sizes: Doubles, values: Doubles) -> Fit:
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
    return Fit(best[0], best[1], best[2], scale)


def learning_curves(
    history: History,
    requests: CountingRequests,
    best: tuple[Counting, Ints],
    params: Params,
    draw: Resampling,
) -> tuple[LearningCurve, LearningCurve]:
    """Return the curves over weeks of history and over users.

    Args:
        history: All lines.
        requests: What is predicted; the same with every share of the data.
        best: The best way to count, and its personal lists.
        params: Shares, repeats, and the popular list's length.
        draw: Resamples the users.
    """
    return (
        _weeks(history, requests, best[0], params, draw),
        _users(history, requests, best[1], params, draw),
    )


def _weeks(
    history: History, requests: CountingRequests, best: Counting, params: Params, draw: Resampling
) -> LearningCurve:
    """History that begins later, up to each request."""
    until = microseconds(params.shop.windows().validation_start)
    length = until - int(history.time.min())
    fractions = sorted(params.planning.learning_curve_fractions)
    since = [until - int(fraction * length) for fraction in fractions]
    lists = personal_lists(history, requests, [Counting(best.decay_days, s) for s in since])
    metric, days = params.planning.primary_metric, params.planning.popular_days
    found = []
    for begin, own in zip(since, lists, strict=True):
        span = (until - begin) // MICROSECONDS_PER_DAY
        popular = popular_items(history, until, max(min(days, span), 1))
        values = requests.measure(filled(own, popular), metric)
        plain = requests.measure(_only(popular, own), metric)
        known = _known(history, requests, (history.time >= begin) & (history.time < until))
        found.append(SampleResult(values, plain, (0.0, draw.half_width(values - plain)), known))
    weeks = np.array(fractions) * length / (7 * MICROSECONDS_PER_DAY)
    return curve_of("weeks of history", (fractions, weeks), found, draw)


def _users(
    history: History, requests: CountingRequests, own: Ints, params: Params, draw: Resampling
) -> LearningCurve:
    """The popular list of fewer shoppers, and the interval that so few would give."""
    fractions = sorted(params.planning.learning_curve_fractions)
    found = []
    for fraction in fractions:
        subsets = _subsets(history.n_users(), fraction, params)
        tries = [_with_users(history, requests, own, chosen, params, draw) for chosen in subsets]
        found.append(
            SampleResult(
                np.mean([each.values for each in tries], axis=0),
                np.mean([each.popular for each in tries], axis=0),
                tuple(np.mean([each.half_widths for each in tries], axis=0)),
                float(np.mean([each.known for each in tries])),
            )
        )
    sizes = np.array([max(round(f * history.n_users()), 1) for f in fractions], dtype=float)
    intervals = [_around(float(each.values.mean()), each.half_widths[0]) for each in found]
    return curve_of("users", (fractions, sizes), found, draw, intervals)


def _subsets(n_users: int, fraction: float, params: Params) -> list[Bools]:
    """Return random users; those of a larger fraction contain those of a smaller one."""
    n_chosen = max(round(fraction * n_users), 1)
    repeats = params.planning.learning_curve_repeats if n_chosen < n_users else 1
    subsets = []
    for repeat in range(repeats):
        order = np.random.default_rng([params.shop.seed, repeat]).permutation(n_users)
        chosen = np.zeros(n_users, bool)
        chosen[order[:n_chosen]] = True
        subsets.append(chosen)
    return subsets


def _with_users(
    history: History,
    requests: CountingRequests,
    own: Ints,
    chosen: Bools,
    params: Params,
    draw: Resampling,
) -> SampleResult:
    """Return what all requests reach when only `chosen` users tell what is popular.

    Half widths are those that the requests of the chosen users alone would leave.
    """
    until = microseconds(params.shop.windows().validation_start)
    metric, days = params.planning.primary_metric, params.planning.popular_days
    popular = popular_items(history, until, days, chosen)
    values = requests.measure(filled(own, popular), metric)
    plain = requests.measure(_only(popular, own), metric)
    mine = chosen[requests.user]
    few = Resampling(requests.user[mine], draw.n_samples, draw.confidence, draw.seed)
    half_widths = few.half_width(values[mine]), few.half_width((values - plain)[mine])
    known = _known(history, requests, chosen[history.user] & (history.time < until))
    return SampleResult(values, plain, half_widths, known)


def _only(popular: Ints, like: Ints) -> Ints:
    return filled(np.zeros_like(like), popular)


def _known(history: History, requests: CountingRequests, lines: Bools) -> float:
    """Return the share of wanted items that sold in `lines`."""
    seen = np.zeros(history.n_items() + 1, bool)
    seen[history.item[lines]] = True
    return float(seen[requests.label_items].mean())


def _around(value: float, half_width: float) -> Estimate:
    low, high = max(value - half_width, 0.0), min(value + half_width, 1.0)
    return Estimate(value=rounded(value), low=rounded(low), high=rounded(high))


def curve_of(
    axis: str,
    shares: tuple[list[float], Doubles],
    found: list[SampleResult],
    draw: Resampling,
    intervals: list[Estimate] | None = None,
) -> LearningCurve:
    """Return the measured points, the fitted limit, the extrapolation and its own test.

    What is fitted is known as well as the shoppers who were measured allow, on either axis: those
    who are still to come make no interval narrower today.

    Args:
        axis: Of what there is more and more.
        shares: Fractions of the data, and [n_points] their sizes, both rising.
        found: What each gives.
        draw: Resamples the users.
        intervals: Of the measured points; None for those of the resampled users.
    """
    fractions, sizes = shares
    values = np.stack([each.values for each in found], axis=1)
    samples = np.vstack([values.mean(axis=0), draw.means(values)])
    fitted, before = fit(sizes, samples), fit(sizes[:-1], samples[:, :-1])
    bigger = float(sizes[-1] * GROWTH)

    def estimate(column: Doubles) -> Estimate:
        return draw.interval(float(column[0]), column[1:])

    measured = intervals or [estimate(column) for column in samples.T]
    points = tuple(
        CurvePoint(
            fraction=fractions[i],
            size=rounded(sizes[i]),
            popular=rounded(found[i].popular.mean()),
            gain_half_width=rounded(found[i].half_widths[1]),
            known_item_fraction=rounded(found[i].known),
            **measured[i].model_dump(),
        )
        for i in range(len(sizes))
    )
    return LearningCurve(
        axis=axis,
        points=points,
        limit=estimate(fitted.limit),
        extrapolated_size=rounded(bigger),
        extrapolated=estimate(fitted.at(bigger)),
        hidden_point=estimate(before.at(float(sizes[-1]))),
    )

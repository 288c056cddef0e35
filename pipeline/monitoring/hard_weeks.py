"""Hard weeks: weeks in which the live frequency baseline loses as much as the served answers.

Holidays change what people buy, and no model foresees it. In a hard week, quality is below its
bound, and the lead over the baseline on the same requests is kept.

Design choices:

- The loss of the served answers beyond that of the baseline is a difference of differences: the
  lead in the week minus the lead in the test window. It is kept if its interval lies above the
  allowed loss of quality, so without enough requests a week is not hard.
- Both leads have errors. That of the week is paired by request and resampled by user. The test
  window's is that of two estimates on the same users, whose correlation is taken from the period.
- More than `monitoring.maximum_hard_weeks` are no hard weeks but a lasting change, and neither are
  weeks in which inputs or labels drifted: a fault of the data takes both down.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.metrics.bootstrap import Bootstrap
from pipeline.monitoring.quality import Doubles, Expected


@dataclass(frozen=True)
class WeekComparison:
    """Served answers and the live frequency baseline on the same requests of one week.

    Attributes:
        week: Number of the week, from 0.
        n: Requests.
        served: Quality of the served answers.
        baseline: Quality of the baseline.
        own_loss: Loss of the lead since testing: value, low, high; positive is a loss.
        is_hard: Whether served quality is below its bound although the lead is kept.
    """

    week: int
    n: int
    served: float
    baseline: float
    own_loss: tuple[float, float, float]
    is_hard: bool


@dataclass(frozen=True)
class BaselineComparison:
    """The weeks beside the live frequency baseline.

    Attributes:
        method: Name of the baseline.
        expected: Its quality in the test window.
        weeks: Weeks with requests.
    """

    method: str
    expected: Expected
    weeks: tuple[WeekComparison, ...]

    @property
    def hard_weeks(self) -> tuple[int, ...]:
        """The numbers of the hard weeks."""
        return tuple(week.week for week in self.weeks if week.is_hard)


@dataclass(frozen=True)
class PairedValues:
    """A metric of the same requests, answered by the service and by the baseline.

    Attributes:
        served: [n] values of the served answers.
        baseline: [n] values of the baseline.
        week: [n] week of each request.
        bootstrap: Bootstrap over the users of these requests.
    """

    served: Doubles
    baseline: Doubles
    week: npt.NDArray[np.int64]
    bootstrap: Bootstrap


def compare_weeks(
    method: str,
    values: PairedValues,
    served: Expected,
    baseline: Expected,
    maximum_loss_fraction: float,
) -> BaselineComparison:
    """Return each week's comparison.

    Args:
        method: Name of the baseline.
        values: The metric of both.
        served: Quality of the tested model in the test window.
        baseline: Quality of the baseline in the test window.
        maximum_loss_fraction: Allowed loss, relative to the test estimate.
    """
    lead = served.value - baseline.value
    correlation = values.bootstrap.correlation(values.served, values.baseline)
    error = _difference_error(served, baseline, correlation)
    allowed = maximum_loss_fraction * served.value
    weeks = []
    for week in np.unique(values.week):
        chosen = values.week == week
        ours, theirs = values.served[chosen].mean(), values.baseline[chosen].mean()
        low, high = values.bootstrap.interval(values.served - values.baseline, chosen)
        own = lead - (ours - theirs)
        own_low = own - float(np.hypot(high - (ours - theirs), error))
        own_high = own + float(np.hypot((ours - theirs) - low, error))
        is_hard = ours < served.value - allowed and own_high <= allowed
        weeks.append(
            WeekComparison(
                week=int(week),
                n=int(chosen.sum()),
                served=float(ours),
                baseline=float(theirs),
                own_loss=(float(own), float(own_low), float(own_high)),
                is_hard=bool(is_hard),
            )
        )
    return BaselineComparison(method, baseline, tuple(weeks))


def _difference_error(served: Expected, baseline: Expected, correlation: float) -> float:
    """Return half the width of the interval of the difference of two correlated estimates.

    >>> same = Expected(0.2, 0.1, 0.3)
    >>> round(_difference_error(same, same, 1.0), 6), round(_difference_error(same, same, 0.0), 4)
    (0.0, 0.1414)
    """
    ours, theirs = ((value.high - value.low) / 2 for value in (served, baseline))
    square = ours**2 + theirs**2 - 2 * correlation * ours * theirs
    return float(np.sqrt(max(square, 0.0)))


def as_metrics(comparison: BaselineComparison) -> dict[str, Any]:
    """Return the JSON value for metrics.json."""
    return {
        "method": comparison.method,
        "reference": comparison.expected.value,
        "weeks": [_week_as_json(week) for week in comparison.weeks],
    }


def _week_as_json(week: WeekComparison) -> Mapping[str, Any]:
    value, low, high = week.own_loss
    return {
        "week": week.week + 1,
        "n_requests": week.n,
        "served": week.served,
        "baseline": week.baseline,
        "own_loss": {"value": value, "low": low, "high": high},
        "is_hard": week.is_hard,
    }

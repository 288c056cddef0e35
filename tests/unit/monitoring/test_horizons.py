"""Which requests count at which horizon, worked out by hand."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from pipeline.contracts.params import Params, read_params
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.monitoring.horizons import (
    is_comparable,
    is_followed,
    is_mature,
    measure_horizons,
    select_counted,
)
from pipeline.monitoring.quality import Expected
from pipeline.monitoring.traffic import Traffic
from tests.support.tiny_shop import PROJECT

READ = read_params(PROJECT / "params.yaml")
SINCE, UNTIL = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 11, tzinfo=UTC)
# A request on each of the first ten days of March; the delay of the label in days, NaN for none.
DELAYS = [0.0, 0.5, 3.0, np.nan, 7.0, 0.0, 2.0, 1.0, 0.0, 0.0]
EXAMPLES = pd.DataFrame(
    {
        "user_id": [f"u{day}" for day in range(10)],
        "timestamp": pd.date_range(SINCE, periods=10, freq="D"),
        "labels": [["milk"] if delay == delay else [] for delay in DELAYS],  # noqa: PLR0124
        "label_delay_days": DELAYS,
        "n_earlier_baskets": [3] * 9 + [0],
    }
)
TRAFFIC = Traffic(SINCE, EXAMPLES, pd.DataFrame(), 10, 10.0, UNTIL)


def params(minimum_users: int = 1) -> Params:
    monitoring = READ.monitoring.model_copy(
        update={"horizons_days": (1, 7, 28), "minimum_users": minimum_users}
    )
    return READ.model_copy(update={"monitoring": monitoring})


def test_a_request_is_mature_when_its_horizon_has_passed() -> None:
    assert is_mature(EXAMPLES, UNTIL, 1).tolist() == [True] * 10
    assert is_mature(EXAMPLES, UNTIL, 7).tolist() == [True] * 4 + [False] * 6
    assert not is_mature(EXAMPLES, UNTIL, 28).any()
    assert is_mature(EXAMPLES, None, 28).all()


def test_a_request_is_followed_by_a_purchase_within_the_horizon() -> None:
    within = {days: np.flatnonzero(is_followed(EXAMPLES, days)).tolist() for days in (1, 7)}
    assert within == {1: [0, 1, 5, 7, 8, 9], 7: [0, 1, 2, 4, 5, 6, 7, 8, 9]}
    assert is_followed(EXAMPLES.drop(columns="label_delay_days"), 1).sum() == 9


def test_users_without_the_history_that_testing_asks_for_do_not_count() -> None:
    assert is_comparable(EXAMPLES, 3).tolist() == [True] * 9 + [False]
    assert is_comparable(EXAMPLES.drop(columns="n_earlier_baskets"), 3).all()
    assert np.flatnonzero(select_counted(TRAFFIC, 1, params())).tolist() == [0, 1, 5, 7, 8]
    # a purchase that came early does not make its request count before the others of its day
    assert np.flatnonzero(select_counted(TRAFFIC, 7, params())).tolist() == [0, 1, 2]


def test_quality_is_that_of_the_counted_requests() -> None:
    values = {"recall@10": np.arange(10.0)}
    bootstrap = Bootstrap.of(np.arange(10), 100, 0.95, seed=1)
    expected = {"recall@10": Expected(4.0, 3.0, 5.0)}
    day, week, month = measure_horizons(TRAFFIC, values, bootstrap, expected, params())
    assert day.quality["recall@10"].value == pytest.approx((0 + 1 + 5 + 7 + 8) / 5)
    assert (day.n_requests, day.n_mature, day.n_followed, day.n_users) == (9, 9, 5, 5)
    assert week.quality["recall@10"].value == pytest.approx((0 + 1 + 2) / 3)
    assert (week.n_requests, week.n_mature, week.n_followed) == (9, 4, 3)
    assert (month.is_mature, month.n_mature, month.n_followed) == (False, 0, 0)


def test_labels_of_few_users_are_immature() -> None:
    values = {"recall@10": np.zeros(10)}
    bootstrap = Bootstrap.of(np.arange(10), 100, 0.95, seed=1)
    expected = {"recall@10": Expected(4.0, 3.0, 5.0)}
    day, week, _ = measure_horizons(TRAFFIC, values, bootstrap, expected, params(5))
    assert (day.is_mature, week.is_mature) == (True, False)

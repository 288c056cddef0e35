from datetime import date

import pandas as pd

from pipeline.contracts.params import MonitoringParams, ShopParams
from pipeline.monitoring.traffic import (
    is_in_whole_week,
    sample_rows,
    select_traffic,
    week_numbers,
)

SHOP = ShopParams(
    as_of=date(2017, 12, 4),
    timezone="UTC",
    currency="USD",
    seed=1,
    validation_days=1,
    test_days=1,
    maximum_user_lines=5000,
)


def params(**changes: int) -> MonitoringParams:
    values = {"replay_days": 10, "maximum_requests": 100, **changes}
    return MonitoringParams(
        **values,
        psi_warning=0.1,
        psi_alarm=0.25,
        psi_broken=0.5,
        maximum_unknown_fraction=0.1,
        maximum_volume_ratio=2.0,
        maximum_failed_fraction=0.01,
        maximum_quality_loss_fraction=0.1,
        confidence=0.95,
        bootstrap_samples=100,
    )


def examples(days: list[str], **changes: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "split": "production",
            "protocol": "rolling",
            "user_id": "u",
            "basket_id": days,
            "timestamp": pd.to_datetime(days, utc=True),
            "cart": [[] for _ in days],
            "labels": [[] for _ in days],
        }
    ).assign(**changes)


def events(days: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": "u",
            "item_id": "a",
            "basket_id": days,
            "timestamp": pd.to_datetime(days, utc=True),
            "event_type": "purchase",
        }
    )


def test_the_window_begins_at_as_of_and_ends_before_its_last_day_is_over() -> None:
    days = ["2017-12-14", "2017-12-03", "2017-12-13", "2017-12-04"]
    selected = select_traffic(examples(days), events(days), params(), SHOP)
    assert selected.examples["basket_id"].tolist() == ["2017-12-04", "2017-12-13"]
    assert selected.events["basket_id"].tolist() == ["2017-12-04", "2017-12-13"]
    assert selected.n_days == 9.0


def test_only_rolling_examples_of_production_are_asked() -> None:
    day = ["2017-12-05"]
    all_kinds = pd.concat(
        [examples(day), examples(day, split="test"), examples(day, protocol="first_basket")]
    )
    assert len(select_traffic(all_kinds, events(day), params(), SHOP).examples) == 1


def test_sampling_leaves_out_requests_but_no_events() -> None:
    days = [f"2017-12-{day:02d}" for day in range(4, 14)]
    selected = select_traffic(examples(days), events(days), params(maximum_requests=5), SHOP)
    assert selected.examples["basket_id"].tolist() == days[::2]
    assert (selected.n_baskets, len(selected.events)) == (10, 10)


def test_an_empty_window_is_empty() -> None:
    selected = select_traffic(examples(["2017-12-01"]), events(["2017-12-01"]), params(), SHOP)
    assert selected.examples.empty
    assert selected.n_days == 1.0


def test_sampling_keeps_what_is_few() -> None:
    frame = examples(["2017-12-05"])
    assert sample_rows(frame, 3) is frame


def test_weeks_are_counted_from_the_start() -> None:
    frame = examples(["2017-12-04", "2017-12-10", "2017-12-11"])
    assert week_numbers(frame, SHOP.windows().as_of).tolist() == [0, 0, 1]


def test_weekdays_are_compared_over_whole_weeks() -> None:
    days = ["2017-12-04", "2017-12-10", "2017-12-11", "2017-12-13"]
    ten_days = select_traffic(examples(days), events(days), params(), SHOP)
    assert is_in_whole_week(ten_days).tolist() == [True, True, False, False]
    six_days = select_traffic(examples(days), events(days), params(replay_days=6), SHOP)
    assert is_in_whole_week(six_days).tolist() == [False]

"""What is known of items at a cut-off, against numbers that were worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.items import (
    STATE,
    ItemState,
    OfferWeeks,
    build_offer_weeks,
    compute_item_state,
    encode_classes,
)
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.base.wall_clock import DAY

VOCABULARY = Vocabulary(("apple", "beer"))
APPLE, BEER = 1, 2
PURCHASES = [
    ("u1", "apple", 10),
    ("u1", "apple", 40),
    ("u1", "apple", 90),
    ("u2", "apple", 60),
    ("u2", "apple", 80),
    ("u3", "apple", 95),
    ("u1", "beer", 30),
    ("u3", "beer", 100),  # at the cut-off: not known yet
    ("u3", "apple", 101),
]
WEEK_OF_JANUARY_1_2024 = 2817  # weeks since Monday 1970-01-05


@pytest.fixture(scope="module")
def state() -> ItemState:
    frame = pd.DataFrame(PURCHASES, columns=["user_id", "item_id", "day"])
    frame["timestamp"] = pd.to_datetime(frame["day"] * DAY, unit="s", utc=True)
    frame["basket_id"] = [f"b{n}" for n in range(len(frame))]
    frame = frame.assign(event_type="purchase", quantity=1.0, price=1.0)
    return compute_item_state(build_histories(frame, VOCABULARY), 3, 100 * DAY, popular_days=28)


def column(state: ItemState, name: str) -> list[float]:
    return [float(value) for value in state.values[:, STATE.index(name)]]


def test_sales_are_counted_before_the_cutoff(state: ItemState) -> None:
    assert column(state, "bought_7") == pytest.approx(np.log([1, 2, 1]))
    assert column(state, "bought_28") == pytest.approx(np.log([1, 4, 1]))
    assert column(state, "bought_ever") == pytest.approx(np.log([1, 7, 2]))


def test_the_repeat_fraction_is_pulled_towards_its_prior(state: ItemState) -> None:
    # apple: 2 of 3 buyers came back, beer: 0 of 1; prior 0.3 with the weight of 5 buyers
    expected = [0.3, (2 + 1.5) / (3 + 5), 1.5 / (1 + 5)]
    assert column(state, "repeat_fraction") == pytest.approx(expected)


def test_the_gap_is_the_median_of_the_buyers_mean_gaps(state: ItemState) -> None:
    # apple: u1 waits (90 - 10) / 2 = 40 days, u2 20; nobody bought beer twice
    assert column(state, "median_gap") == pytest.approx([40.0, 30.0, 40.0])


def test_the_trend_compares_four_weeks_with_the_eight_before(state: ItemState) -> None:
    # apple: 3 in 28 days, 5 in 84; beer: 0 and 1
    assert column(state, "trend") == pytest.approx([0.0, np.log(4 / 2), -np.log(1.5)])


def test_popularity_is_recent_sales_with_all_sales_as_tie_break(state: ItemState) -> None:
    assert state.popularity.tolist() == pytest.approx([0.0, 3 + 6 / 7, 1 / 7])


def test_an_item_that_never_sold_before_the_cutoff_has_no_popularity() -> None:
    frame = pd.DataFrame(PURCHASES[:0], columns=["user_id", "item_id", "day"])
    frame = frame.assign(
        timestamp=pd.to_datetime(frame["day"], unit="s", utc=True),
        event_type="purchase",
        quantity=1.0,
        price=1.0,
        basket_id="b",
    )
    empty = compute_item_state(build_histories(frame, VOCABULARY), 3, DAY, popular_days=28)
    assert empty.popularity.tolist() == [0.0, 0.0, 0.0]
    assert column(empty, "median_gap") == [40.0] * 3


def offers(*rows: tuple[str, str, str, str, float]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["item_id", "starts", "ends", "kind", "store_fraction"])
    for name in ("starts", "ends"):
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601").astype(
            "datetime64[us, UTC]"
        )
    return frame.assign(audience=None, audience_fraction=np.nan)


def weeks(result: pd.DataFrame, timezone: str = "UTC", cutoff: str = "2024-02-01") -> OfferWeeks:
    """The calendar of a shop whose first sale was on the first of January 2024."""
    first, known = (pd.Timestamp(day, tz="UTC").timestamp() for day in ("2024-01-01", cutoff))
    return build_offer_weeks(result, ITEMS, timezone, first_sale=first, cutoff=known)


ITEMS = pd.Series(["apple", "beer"])
MAILER, DISPLAY, COUPON = range(3)


def test_an_offer_of_a_week_is_in_that_week_only() -> None:
    result = weeks(offers(("apple", "2024-01-01", "2024-01-08", "mailer", 1.0)))
    assert result.first_week == WEEK_OF_JANUARY_1_2024
    assert result.table.shape == (3, 3, 4)
    assert result.table[:, APPLE, MAILER].tolist() == [0, 255, 0]
    assert result.table.sum() == 255


def test_a_week_counts_when_the_offer_covers_its_middle() -> None:
    result = weeks(
        offers(
            ("apple", "2024-01-01", "2024-01-08", "mailer", 1.0),
            ("beer", "2024-01-10", "2024-01-24", "display", 0.5),  # Wednesday to Wednesday
            (
                "apple",
                "2024-01-15",
                "2024-01-17",
                "coupon",
                0.1,
            ),  # covers no middle: its first week
        ),
    )
    assert result.table[:, APPLE, MAILER].tolist() == [0, 255, 0, 0, 0]
    assert result.table[:, BEER, DISPLAY].tolist() == [0, 0, 128, 128, 0]
    assert result.table[:, APPLE, COUPON].tolist() == [0, 0, 0, 26, 0]


def test_of_overlapping_offers_the_wider_counts() -> None:
    wide = ("apple", "2024-01-01", "2024-01-08", "mailer", 1.0)
    narrow = ("apple", "2024-01-01", "2024-01-08", "mailer", 0.2)
    for rows in ((wide, narrow), (narrow, wide)):
        assert weeks(offers(*rows)).table[1, APPLE, MAILER] == 255


def test_weeks_are_the_shops_own() -> None:
    # Friday noon in UTC is the middle of the week that starts and ends a day late
    row = ("apple", "2024-01-04T18:00Z", "2024-01-05T18:00Z", "mailer", 1.0)
    short = ("apple", "2024-01-08T02:00Z", "2024-01-08T04:00Z", "coupon", 1.0)  # Sunday there
    result = weeks(offers(row, short), "America/New_York")
    assert result.first_week == WEEK_OF_JANUARY_1_2024
    assert result.table[:, APPLE, COUPON].tolist() == [0, 255, 0]
    assert weeks(offers(short)).first_week == WEEK_OF_JANUARY_1_2024 + 1


@pytest.mark.parametrize("timezone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_an_offer_without_an_end_adds_nothing_beyond_the_window(timezone: str) -> None:
    planned = (
        "beer",
        "2024-01-01",
        "2024-08-01",
        "mailer",
        1.0,
    )  # cut half a year after the cut-off
    usual = ("apple", "2024-01-01", "2024-01-08", "mailer", 1.0)
    ever = ("apple", "0001-01-01", "9999-12-31T23:00:00Z", "coupon", 1.0)
    new_year = ("beer", "9998-01-01", "9999-01-01", "coupon", 1.0)
    plain = weeks(offers(planned, usual), timezone)
    result = weeks(offers(planned, usual, ever, new_year), timezone)
    assert result.table.shape[0] == plain.table.shape[0] + 2  # and the two weeks before the data
    assert result.table.shape[0] <= 2 + (14 + 31 + 26 * 7) / 7 + 1
    assert (result.table[1:-1, APPLE, COUPON] == 255).all()
    assert not result.table[:, BEER, COUPON].any()
    assert (result.table[2:, :, MAILER] == plain.table[:, :, MAILER]).all()


def test_an_offer_counts_by_the_share_of_shoppers_that_it_is_made_to() -> None:
    row = ("apple", "2024-01-01", "2024-01-08", "coupon", 1.0)
    every = offers(row, row, row, row)
    every["audience"] = [None, "few", "half", "unknown"]
    every["audience_fraction"] = [np.nan, 0.1, 0.5, np.nan]
    shares = [
        int(weeks(every.iloc[n : n + 1]).table[:, APPLE, COUPON].max(initial=0)) for n in range(4)
    ]
    assert shares == [255, 26, 128, 0]
    both = offers(("apple", "2024-01-01", "2024-01-08", "coupon", 0.5))
    both = both.assign(audience="half", audience_fraction=0.5)
    assert weeks(both).table[1, APPLE, COUPON] == 64  # a quarter


def test_no_offer_of_a_known_item_is_an_empty_calendar() -> None:
    result = weeks(offers(("caviar", "2024-01-01", "2024-01-08", "mailer", 1.0)))
    assert result.table.shape == (2, 3, 4)
    assert not result.table.any()


def test_a_class_that_is_not_known_has_code_zero() -> None:
    codes, n_codes = encode_classes(pd.DataFrame({"type": ["tea", None, "jam", "tea"]}), "type")
    assert (codes.tolist(), n_codes) == ([0, 2, 0, 1, 2], 3)

"""Offers and prices: what runs now, and whether this shopper buys this item when it is on offer."""

import tensorflow as tf

from pipeline.recommenders.graph import Batch
from pipeline.recommenders.items import EPOCH_MONDAY, WEEK
from pipeline.recommenders.wall_clock import DAY

HOURS = 24.0
CHEAPER = -0.1
LEAST_PRICE = 0.01

OFFER_NAMES = (
    "mailer_now",
    "mailer_next",
    "mailer_before",
    "display_now",
    "display_next",
    "display_before",
    "coupon_now",
    "mailer_when_bought",
    "display_when_bought",
    "mailer_lift",
    "display_lift",
    "mailer_when_last_bought",
    "display_when_last_bought",
)
PRICE_NAMES = ("cheap_when_bought", "price_level", "last_price_level", "usual_price")


def week_row(batch: Batch, first_week: int) -> tf.Tensor:
    """Return [n] the row of the offers table for the shop's week of each request."""
    weekday = tf.cast(batch.raw["local_weekday"], tf.float64)
    hour = tf.cast(batch.raw["local_hour"], tf.float64)
    monday = batch.raw["time"] - weekday * DAY - hour * DAY / HOURS
    week = tf.cast(tf.round((monday - EPOCH_MONDAY) / WEEK), tf.int32)
    return week - first_week + 1


def offer_features(batch: Batch, offers: tf.Tensor, first_week: int) -> dict[str, tf.Tensor]:
    """Return [n_own] numbers by the names of OFFER_NAMES.

    Args:
        batch: Requests.
        offers: [n_weeks, n_items, n_kinds] share of stores in units of 1/255.
        first_week: Of the second row of `offers`.
    """
    week = week_row(batch, first_week)
    row = tf.gather(week, batch.own_row)
    now, following, before = (_shares(offers, row + step, batch.own_item) for step in (0, 1, -1))
    then = _shares(offers, _week_of_lines(batch, week), batch.raw["item"])[:, :2]
    usual = batch.own_sum(then) / tf.cast(batch.own_count, tf.float32)[:, tf.newaxis]
    last = tf.gather(then, batch.own_start)
    return {
        "mailer_now": now[:, 0],
        "mailer_next": following[:, 0],
        "mailer_before": before[:, 0],
        "display_now": now[:, 1],
        "display_next": following[:, 1],
        "display_before": before[:, 1],
        "coupon_now": now[:, 2],
        "mailer_when_bought": usual[:, 0],
        "display_when_bought": usual[:, 1],
        "mailer_lift": now[:, 0] - usual[:, 0],
        "display_lift": now[:, 1] - usual[:, 1],
        "mailer_when_last_bought": last[:, 0],
        "display_when_last_bought": last[:, 1],
    }


def _week_of_lines(batch: Batch, week: tf.Tensor) -> tf.Tensor:
    """Return [n_lines] the row of the offers table for the week of each purchase."""
    raw = batch.raw
    since_monday = tf.cast(raw["local_weekday"], tf.float32) + (
        tf.cast(raw["local_hour"], tf.float32) / HOURS
    )
    days = tf.gather(since_monday, batch.line_row) - raw["age_days"]
    weeks_ago = tf.cast(tf.floor(days / 7.0), tf.int32)
    return tf.gather(week, batch.line_row) + weeks_ago


def _shares(offers: tf.Tensor, row: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
    row = tf.clip_by_value(row, 0, tf.shape(offers)[0] - 1)
    shares = tf.gather_nd(offers, tf.stack([row, item], axis=1))
    return tf.cast(shares, tf.float32) / 255.0


def price_features(batch: Batch, usual_price: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return [n_own] numbers by the names of PRICE_NAMES.

    Args:
        batch: Requests.
        usual_price: [n_items] median unit price.
    """
    usual = tf.maximum(usual_price, LEAST_PRICE)
    paid = tf.maximum(batch.raw["price"], LEAST_PRICE)
    level = tf.math.log(paid / tf.gather(usual, batch.raw["item"]))
    count = tf.cast(batch.own_count, tf.float32)
    return {
        "cheap_when_bought": batch.own_sum(tf.cast(level < CHEAPER, tf.float32)) / count,
        "price_level": batch.own_sum(level) / count,
        "last_price_level": tf.gather(level, batch.own_start),
        "usual_price": tf.math.log1p(tf.gather(usual, batch.own_item)),
    }

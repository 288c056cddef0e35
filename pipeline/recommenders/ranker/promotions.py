"""Features of offers and prices: current promotions, and purchases of the item on promotion."""

import tensorflow as tf

from pipeline.recommenders.base.batch import Batch
from pipeline.recommenders.base.items import EPOCH_MONDAY, KINDS, WEEK, OfferWeeks
from pipeline.recommenders.base.wall_clock import DAY
from pipeline.recommenders.ranker.blocks import FeatureBlock, build_block

HOURS = 24.0
CHEAPER = -0.1
LEAST_PRICE = 0.01
WHEN = {"now": 0, "next": 1, "before": -1}  # weeks from that of the request

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


class Offers(tf.Module):
    """Calendar of promotions in the graph.

    Attributes:
        flat: [n_weeks * n_items, n_kinds] share of stores in units of 1/255; flat, so that one
            lookup finds the week and the item.
        n_weeks: Number of weeks; the first and the last are empty.
    """

    def __init__(self, weeks: OfferWeeks) -> None:
        """Put the table into the graph."""
        super().__init__()
        self.n_weeks, self._n_items, n_kinds = weeks.table.shape
        self._first_week = weeks.first_week
        flat = weeks.table.reshape(-1, n_kinds)
        self.flat = tf.Variable(flat, trainable=False, name="offers")

    def week(self, batch: Batch) -> tf.Tensor:
        """Return [n] the table row of each request's week."""
        weekday = tf.cast(batch.raw["local_weekday"], tf.float64)
        hour = tf.cast(batch.raw["local_hour"], tf.float64)
        monday = batch.raw["time"] - weekday * DAY - hour * DAY / HOURS
        week = tf.cast(tf.round((monday - EPOCH_MONDAY) / WEEK), tf.int32)
        return week - self._first_week + 1

    def shares(self, week: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
        """Return [..., n_kinds] shares of stores, 0..1, by week and item; 0 beyond the table."""
        week = tf.clip_by_value(week, 0, self.n_weeks - 1)
        stored = tf.gather(self.flat, week * self._n_items + item)
        return tf.cast(stored, tf.float32) / 255.0

    def shares_by_week(self, items: tf.Tensor, n_kinds: int) -> tf.Tensor:
        """Return [n_weeks, n_items, n_kinds] the shares of stores for the first kinds."""
        weeks = tf.range(self.n_weeks)[:, tf.newaxis]
        stored = tf.gather(self.flat[:, :n_kinds], weeks * self._n_items + items)
        return tf.cast(stored, tf.float32) / 255.0


def offer_features(batch: Batch, offers: Offers) -> tuple[FeatureBlock, ...]:
    """Return the blocks of OFFER_NAMES, and of some more kinds, [n_names, n_repeat] each."""
    week = offers.week(batch)
    weeks = tf.gather(week, batch.repeat_row)[:, tf.newaxis] + tf.constant(list(WHEN.values()))
    around = offers.shares(weeks, batch.repeat_item[:, tf.newaxis])  # [n_repeat, 3, n_kinds]
    then = offers.shares(_week_of_lines(batch, week), batch.raw["item"])[:, :2]
    usual = batch.sum_by_repeat(then) / tf.cast(batch.repeat_count, tf.float32)[:, tf.newaxis]
    last = tf.gather(then, batch.repeat_start)
    names = {
        "when_bought": usual,
        "lift": around[:, 0, :2] - usual,
        "when_last_bought": last,
    }
    offer_names = tuple(f"{kind}_{when}" for when in WHEN for kind in KINDS)
    return (
        build_block(offer_names, tf.reshape(around, [-1, len(offer_names)])),
        *(
            build_block((f"mailer_{name}", f"display_{name}"), values)
            for name, values in names.items()
        ),
    )


def _week_of_lines(batch: Batch, week: tf.Tensor) -> tf.Tensor:
    """Return [n_lines] the table row of each purchase's week."""
    raw = batch.raw
    since_monday = tf.cast(raw["local_weekday"], tf.float32) + (
        tf.cast(raw["local_hour"], tf.float32) / HOURS
    )
    days = tf.gather(since_monday, batch.line_row) - raw["age_days"]
    weeks_ago = tf.cast(tf.floor(days / 7.0), tf.int32)
    return tf.gather(week, batch.line_row) + weeks_ago


def price_features(batch: Batch, usual_price: tf.Tensor) -> tuple[FeatureBlock, ...]:
    """Return the blocks of PRICE_NAMES, [n_names, n_repeat] each.

    Args:
        batch: Requests.
        usual_price: [n_items] median unit price.
    """
    usual = tf.gather(tf.maximum(usual_price, LEAST_PRICE), batch.raw["item"])
    level = tf.math.log(tf.maximum(batch.raw["price"], LEAST_PRICE) / usual)
    is_cheap = tf.cast(level < CHEAPER, tf.float32)
    count = tf.cast(batch.repeat_count, tf.float32)[:, tf.newaxis]
    sums = batch.sum_by_repeat(tf.stack([is_cheap, level], axis=1))
    last = tf.gather(tf.stack([level, usual], axis=1), batch.repeat_start)
    return (
        build_block(("cheap_when_bought", "price_level"), sums / count),
        build_block(("last_price_level",), last[:, :1]),
        build_block(("usual_price",), last[:, 1:], logged=True),
    )

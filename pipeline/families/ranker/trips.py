"""What a shopper buys on trips like this one: at this hour, on this weekday, in this store.

Every earlier basket is weighted by how much its circumstances are those of the request. An item's
number is the share of that weight which lies on baskets with the item: a nearest-neighbour vote
of the shopper's own baskets. Where the time or the store of the request is not known, the numbers
that need it are 0, and `time_known` and `store_known` say so.
"""

from dataclasses import dataclass

import tensorflow as tf

from pipeline.recommenders.graph import Batch
from pipeline.recommenders.wall_clock import HOURS_PER_WEEK

DAY_HOURS = 24
SATURDAY = 5
HOUR_WIDTH = 2.0
GAP_WIDTH = 0.5
FIRST_GAP_DAYS = 7.0
SLOW_DAYS, FAST_DAYS, MATCH_DAYS = 120.0, 30.0, 90.0
OTHER_SIDE_OF_WEEK = 0.3
OTHER_STORE = 0.15

LIKE = (
    "like_hour",
    "like_hour_day",
    "like_store",
    "like_hour_day_store",
    "like_gap",
    "like_all",
    "like_all_recent",
)
TRIP_NAMES = (
    *LIKE,
    "like_evidence",
    "hour_match",
    "hour_lift",
    "hour_decayed",
    "weekday_match",
    "store_match",
    "store_lift",
    "store_decayed",
    "user_store_share",
    "store_known",
    "time_known",
    "basket_size_lift",
    "expected_size",
    "expected_size_lift",
    "gap_lift",
)


@dataclass(frozen=True)
class Trips:
    """The baskets of all requests, and which of them each line belongs to.

    Attributes:
        row: [n_trips] the request.
        age: [n_trips] days before it.
        hour_of_week: [n_trips].
        store: [n_trips] code, 0 where it is not known.
        size: [n_trips] log(1 + lines); 0 for a number that no line has.
        gap: [n_trips] log(1 + days since the basket before).
        of_line: [n_lines] index of the line's trip.
    """

    row: tf.Tensor
    age: tf.Tensor
    hour_of_week: tf.Tensor
    store: tf.Tensor
    size: tf.Tensor
    gap: tf.Tensor
    of_line: tf.Tensor


def trips_of(batch: Batch) -> Trips:
    """Return the baskets: lines of a request with the same `baskets_ago` are one."""
    raw = batch.raw
    counts = tf.cast(batch.n_baskets, tf.int32)
    first = tf.cumsum(counts, exclusive=True)
    n_trips = tf.reduce_sum(counts)
    of_line = tf.gather(first, batch.line_row) + raw["baskets_ago"]

    def of_trip(per_line: tf.Tensor) -> tf.Tensor:
        found = tf.math.unsorted_segment_max(per_line, of_line, n_trips)
        return tf.maximum(found, tf.zeros_like(found))

    row = tf.repeat(tf.range(batch.n), counts)
    age = of_trip(raw["age_days"])
    lines = tf.math.unsorted_segment_sum(tf.ones_like(raw["age_days"]), of_line, n_trips)
    is_last = tf.concat([row[1:] != row[:-1], tf.ones_like(row[:1], tf.bool)], axis=0)
    older = tf.concat([age[1:], age[:1]], axis=0)[: tf.shape(age)[0]]
    gap = tf.where(tf.logical_or(is_last, older <= 0), FIRST_GAP_DAYS, older - age)
    return Trips(
        row=row,
        age=age,
        hour_of_week=of_trip(raw["hour_of_week"]),
        store=of_trip(raw["store"]),
        size=tf.math.log1p(lines),
        gap=tf.math.log1p(tf.maximum(gap, 0.0)),
        of_line=of_line,
    )


def trip_features(batch: Batch) -> dict[str, tf.Tensor]:
    """Return [n_own] numbers by the names of TRIP_NAMES."""
    raw, trips = batch.raw, trips_of(batch)
    known = tf.cast(raw["time_known"], tf.float32)
    store_known = tf.cast(raw["at_store"] > 0, tf.float32)
    there = tf.cast(trips.size > 0, tf.float32)
    hour, weekday, weekend = _clock(batch, trips)
    same_store = tf.cast(trips.store == tf.gather(raw["at_store"], trips.row), tf.float32)
    now_gap = _days_since_last(batch, trips)
    near_gap = tf.exp(-tf.square(trips.gap - tf.gather(now_gap, trips.row)) / GAP_WIDTH)
    slow, fast = (there * tf.exp(-trips.age / days) for days in (SLOW_DAYS, FAST_DAYS))
    store = OTHER_STORE + (1.0 - OTHER_STORE) * same_store
    like = {
        "like_hour": slow * hour,
        "like_hour_day": slow * hour * weekend,
        "like_store": slow * store,
        "like_hour_day_store": slow * hour * weekend * store,
        "like_gap": slow * near_gap,
        "like_all": slow * hour * weekend * store * near_gap,
        "like_all_recent": fast * hour * weekend * store,
    }
    recent = there * tf.exp(-trips.age / MATCH_DAYS)
    weights = tf.stack([like[name] for name in LIKE], axis=1)
    matches = (hour, weekday, same_store)
    facts = tf.stack(
        [
            *(match * there for match in matches),
            recent * hour,
            recent * same_store,
            trips.size,
            trips.gap * there,
        ],
        axis=1,
    )
    own = _own_sums(batch, trips, tf.concat([weights, facts], axis=1))
    rows = _row_sums(batch, trips, tf.concat([weights, facts, recent[:, tf.newaxis]], axis=1))
    found = _shares(batch, own[:, : len(LIKE)], rows[:, : len(LIKE)])
    found |= _matches(batch, own[:, len(LIKE) :], rows[:, len(LIKE) :])
    found |= _sizes(batch, trips, like["like_hour_day_store"], own, now_gap)
    timeless = {"like_store", "store_match", "store_lift", "store_decayed", "user_store_share"}
    time = tf.gather(known, batch.own_row)
    place = tf.gather(store_known, batch.own_row)
    gated = {name: values * (place if name in timeless else time) for name, values in found.items()}
    return gated | {"time_known": time, "store_known": place}


def _clock(batch: Batch, trips: Trips) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return [n_trips] nearness of the hour, same weekday, same side of the week."""
    raw = batch.raw
    now = tf.gather(raw["local_hour"], trips.row)
    apart = tf.abs(tf.cast(trips.hour_of_week % DAY_HOURS - now, tf.float32))
    apart = tf.minimum(apart, DAY_HOURS - apart)
    hour = tf.exp(-tf.square(apart / HOUR_WIDTH) / 2.0)
    then_day = tf.math.floordiv(trips.hour_of_week % HOURS_PER_WEEK, DAY_HOURS)
    today = tf.gather(raw["local_weekday"], trips.row)
    weekday = tf.cast(then_day == today, tf.float32)
    same = tf.cast((then_day >= SATURDAY) == (today >= SATURDAY), tf.float32)
    return hour, weekday, OTHER_SIDE_OF_WEEK + (1.0 - OTHER_SIDE_OF_WEEK) * same


def _days_since_last(batch: Batch, trips: Trips) -> tf.Tensor:
    """Return [n] log(1 + days) since the latest basket, that of a first basket without any."""
    latest = tf.math.unsorted_segment_min(trips.age, trips.row, batch.n)
    return tf.math.log1p(tf.where(batch.n_baskets > 0, latest, FIRST_GAP_DAYS))


def _own_sums(batch: Batch, trips: Trips, per_trip: tf.Tensor) -> tf.Tensor:
    return batch.own_sum(tf.gather(per_trip, trips.of_line))


def _row_sums(batch: Batch, trips: Trips, per_trip: tf.Tensor) -> tf.Tensor:
    return tf.math.unsorted_segment_sum(per_trip, trips.row, batch.n)


def _shares(batch: Batch, own: tf.Tensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
    share = tf.sqrt(own / tf.maximum(tf.gather(rows, batch.own_row), 1e-6))
    found = dict(zip(LIKE, tf.unstack(share, num=len(LIKE), axis=1), strict=True))
    evidence = tf.math.log1p(rows[:, LIKE.index("like_hour_day_store")])
    return found | {"like_evidence": tf.gather(evidence, batch.own_row)}


def _matches(batch: Batch, own: tf.Tensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return how much more often an item is bought at this hour and in this store than others."""
    count = tf.cast(batch.own_count, tf.float32)
    recent = tf.maximum(rows[:, -1], 1e-6)
    usual_hour = tf.gather(rows[:, 3] / recent, batch.own_row)
    usual_store = tf.gather(rows[:, 4] / recent, batch.own_row)
    hour, weekday, store = (own[:, at] / count for at in range(3))
    return {
        "hour_match": hour,
        "hour_lift": hour - usual_hour,
        "hour_decayed": tf.math.log1p(own[:, 3]),
        "weekday_match": weekday,
        "store_match": store,
        "store_lift": store - usual_store,
        "store_decayed": tf.math.log1p(own[:, 4]),
        "user_store_share": usual_store,
    }


def _sizes(
    batch: Batch, trips: Trips, like: tf.Tensor, own: tf.Tensor, now_gap: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Return whether an item comes with large baskets, and how large this one may become."""
    count = tf.cast(batch.own_count, tf.float32)
    there = tf.cast(trips.size > 0, tf.float32)
    sums = _row_sums(batch, trips, tf.stack([trips.size, there, like * trips.size, like], axis=1))
    usual = sums[:, 0] / tf.maximum(sums[:, 1], 1.0)
    expected = sums[:, 2] / tf.maximum(sums[:, 3], 1e-6)
    return {
        "basket_size_lift": own[:, len(LIKE) + 5] / count - tf.gather(usual, batch.own_row),
        "expected_size": tf.gather(expected, batch.own_row),
        "expected_size_lift": tf.gather(expected - usual, batch.own_row),
        "gap_lift": own[:, len(LIKE) + 6] / count - tf.gather(now_gap, batch.own_row),
    }

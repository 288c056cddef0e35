"""What a shopper buys on trips like this one: at this hour, on this weekday, in this store.

Every earlier basket is weighted by how much its circumstances are those of the request. An item's
number is the share of that weight which lies on baskets with the item: a nearest-neighbour vote
of the shopper's own baskets. Where the time or the store of the request is not known, the numbers
that need it are 0, and `time_known` and `store_known` say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from pipeline.recommenders.base.graph import Batch, rows_of
from pipeline.recommenders.base.wall_clock import HOURS_PER_WEEK
from pipeline.recommenders.ranker.blocks import FeatureBlock, block

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
# What needs the store and not the time; all else needs the time.
TIMELESS = {
    "like_store",
    "store_match",
    "store_lift",
    "store_decayed",
    "user_store_share",
    "store_known",
}


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

    facts = [tf.cast(raw[name], tf.float32) for name in ("age_days", "hour_of_week", "store")]
    found = tf.math.unsorted_segment_max(tf.stack(facts, axis=1), of_line, n_trips)
    found = tf.maximum(found, 0.0)
    age = found[:, 0]
    row = rows_of(tf.concat([first, [n_trips]], axis=0), age)
    lines = tf.math.unsorted_segment_sum(tf.ones_like(raw["age_days"]), of_line, n_trips)
    is_last = tf.concat([row[1:] != row[:-1], row[:1] >= 0], axis=0)
    older = tf.concat([age[1:], age[:1]], axis=0)[: tf.shape(age)[0]]
    gap = tf.where(tf.logical_or(is_last, older <= 0), FIRST_GAP_DAYS, older - age)
    return Trips(
        row=row,
        age=age,
        hour_of_week=tf.cast(found[:, 1], tf.int32),
        store=tf.cast(found[:, 2], tf.int32),
        size=tf.math.log1p(lines),
        gap=tf.math.log1p(tf.maximum(gap, 0.0)),
        of_line=of_line,
    )


def trip_features(batch: Batch) -> tuple[FeatureBlock, ...]:
    """Return blocks of n_own by the names of TRIP_NAMES, and of some more."""
    raw, trips = batch.raw, trips_of(batch)
    there = tf.cast(trips.size > 0, tf.float32)
    hour, weekday, weekend = _clock(batch, trips)
    same_store = tf.cast(trips.store == tf.gather(raw["at_store"], trips.row), tf.float32)
    now_gap = _days_since_last(batch, trips)
    near_gap = tf.exp(-tf.square(trips.gap - tf.gather(now_gap, trips.row)) / GAP_WIDTH)
    decays = tf.exp(-trips.age[:, tf.newaxis] / tf.constant((SLOW_DAYS, FAST_DAYS, MATCH_DAYS)))
    slow, fast, recent = (there * decays[:, at] for at in range(3))
    store = OTHER_STORE + (1.0 - OTHER_STORE) * same_store
    slow_day = slow * hour * weekend
    like = {
        "like_hour": slow * hour,
        "like_hour_day": slow_day,
        "like_store": slow * store,
        "like_hour_day_store": slow_day * store,
        "like_gap": slow * near_gap,
        "like_all": slow_day * store * near_gap,
        "like_all_recent": fast * hour * weekend * store,
    }
    facts = {
        "hour": hour * there,
        "weekday": weekday * there,
        "store": same_store * there,
        "size": trips.size,
        "gap": trips.gap * there,
        "recent_hour": recent * hour,
        "recent_store": recent * same_store,
        "recent": recent,
        "there": there,
        "like_size": like["like_hour_day_store"] * trips.size,
    }
    per_trip = tf.stack([*like.values(), *facts.values()], axis=1)
    own = batch.own_sum(tf.gather(per_trip, trips.of_line))
    rows = tf.math.unsorted_segment_sum(per_trip, trips.row, batch.n)
    names = (*like, *facts)
    is_known = [tf.cast(each, tf.float32) for each in (raw["time_known"], raw["at_store"] > 0)]
    gates = tf.gather(tf.stack(is_known), batch.own_row, axis=1)
    blocks = (
        *_features(batch, Sides(names, own), Sides(names, rows), now_gap),
        FeatureBlock(("time_known", "store_known"), tf.ones_like(gates)),
    )
    return tuple(
        _gated([each for each in blocks if each.logged is part], gates) for part in (False, True)
    )


def _gated(blocks: Sequence[FeatureBlock], gates: tf.Tensor) -> FeatureBlock:
    """Return one block: 0 where the time or the store that a feature needs is not known."""
    names = tuple(name for each in blocks for name in each.names)
    needed = tf.gather(gates, [int(name in TIMELESS) for name in names])
    rows = tf.concat([each.rows for each in blocks], axis=0)
    return FeatureBlock(names, rows * needed, blocks[0].logged)


class Sides(NamedTuple):
    """Sums over trips by name: [n, n_names]."""

    names: tuple[str, ...]
    sums: tf.Tensor

    def of(self, *names: str) -> tf.Tensor:
        """Return [n, len(names)] some of them, which lie behind each other."""
        first = self.names.index(names[0])
        assert self.names[first : first + len(names)] == names
        return self.sums[:, first : first + len(names)]

    def one(self, name: str) -> tf.Tensor:
        """Return [n] one of them."""
        return self.sums[:, self.names.index(name)]


def _features(
    batch: Batch, own: Sides, rows: Sides, now_gap: tf.Tensor
) -> tuple[FeatureBlock, ...]:
    """Return the features before what needs an unknown time or store is set to 0."""
    recent = tf.maximum(rows.of("recent"), 1e-6)
    usual_size = rows.one("size") / tf.maximum(rows.one("there"), 1.0)
    like = tf.maximum(rows.one("like_hour_day_store"), 1e-6)
    expected = rows.one("like_size") / like
    evidence = tf.math.log1p(rows.one("like_hour_day_store"))
    others = [usual_size, now_gap, expected, expected - usual_size, evidence]
    likes = tf.maximum(rows.of(*LIKE), 1e-6)
    usual = rows.of("recent_hour", "recent_store") / recent
    of_row = tf.gather(tf.concat([likes, usual, tf.stack(others, axis=1)], axis=1), batch.own_row)
    n_like = len(LIKE)
    likes, usual, typical, expected = tf.split(of_row, [n_like, 2, 2, 3], axis=1)
    count = tf.cast(batch.own_count, tf.float32)[:, tf.newaxis]
    means = own.of("hour", "weekday", "store", "size", "gap") / count
    matches = tf.gather(means, [0, 2], axis=1)
    return (
        block(LIKE, tf.sqrt(own.of(*LIKE) / likes)),
        block(("hour_match", "weekday_match", "store_match"), means[:, :3]),
        block(("hour_lift", "store_lift"), matches - usual),
        block(
            ("hour_decayed", "store_decayed"), own.of("recent_hour", "recent_store"), logged=True
        ),
        block(("user_hour_share", "user_store_share"), usual),
        block(("basket_size_lift", "gap_lift"), means[:, 3:] - typical),
        block(("expected_size", "expected_size_lift", "like_evidence"), expected),
    )


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

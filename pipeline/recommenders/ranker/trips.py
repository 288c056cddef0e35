"""Features of earlier trips that resemble the request: by hour, weekday and store.

Each earlier basket is weighted by its similarity to the context of the request. A feature is the
share of that weight on baskets that contain the item: a nearest-neighbour vote of the user's
baskets. If the time or the store of the request is unknown, the features that need it are 0, and
`time_known` and `store_known` are 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from pipeline.recommenders.base.batch import Batch, row_indices
from pipeline.recommenders.base.wall_clock import HOURS_PER_WEEK
from pipeline.recommenders.ranker.blocks import FeatureBlock, build_block

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
# Features that need the store but not the time; all others need the time.
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
    """Baskets of all requests.

    Attributes:
        row: [n_trips] request.
        age: [n_trips] days before the request.
        hour_of_week: [n_trips] 0..167.
        store: [n_trips] store code, 0 = unknown.
        size: [n_trips] log(1 + lines); 0 for a basket number without lines.
        gap: [n_trips] log(1 + days since the previous basket).
        of_line: [n_lines] trip of each line.
    """

    row: tf.Tensor
    age: tf.Tensor
    hour_of_week: tf.Tensor
    store: tf.Tensor
    size: tf.Tensor
    gap: tf.Tensor
    of_line: tf.Tensor


def build_trips(batch: Batch) -> Trips:
    """Return the baskets: lines of a request with the same `baskets_ago` form one."""
    raw = batch.raw
    counts = tf.cast(batch.n_baskets, tf.int32)
    first = tf.cumsum(counts, exclusive=True)
    n_trips = tf.reduce_sum(counts)
    of_line = tf.gather(first, batch.line_row) + raw["baskets_ago"]

    facts = [tf.cast(raw[name], tf.float32) for name in ("age_days", "hour_of_week", "store")]
    per_trip = tf.math.unsorted_segment_max(tf.stack(facts, axis=1), of_line, n_trips)
    per_trip = tf.maximum(per_trip, 0.0)
    age = per_trip[:, 0]
    row = row_indices(tf.concat([first, [n_trips]], axis=0), age)
    lines = tf.math.unsorted_segment_sum(tf.ones_like(raw["age_days"]), of_line, n_trips)
    is_last = tf.concat([row[1:] != row[:-1], row[:1] >= 0], axis=0)
    older = tf.concat([age[1:], age[:1]], axis=0)[: tf.shape(age)[0]]
    gap = tf.where(tf.logical_or(is_last, older <= 0), FIRST_GAP_DAYS, older - age)
    return Trips(
        row=row,
        age=age,
        hour_of_week=tf.cast(per_trip[:, 1], tf.int32),
        store=tf.cast(per_trip[:, 2], tf.int32),
        size=tf.math.log1p(lines),
        gap=tf.math.log1p(tf.maximum(gap, 0.0)),
        of_line=of_line,
    )


def trip_features(batch: Batch) -> tuple[FeatureBlock, ...]:
    """Return the blocks of TRIP_NAMES, and of some more, [n_names, n_repeat] each."""
    raw, trips = batch.raw, build_trips(batch)
    present = tf.cast(trips.size > 0, tf.float32)
    hour, weekday, weekend = _clock(batch, trips)
    same_store = tf.cast(trips.store == tf.gather(raw["at_store"], trips.row), tf.float32)
    now_gap = _days_since_last(batch, trips)
    near_gap = tf.exp(-tf.square(trips.gap - tf.gather(now_gap, trips.row)) / GAP_WIDTH)
    decays = tf.exp(-trips.age[:, tf.newaxis] / tf.constant((SLOW_DAYS, FAST_DAYS, MATCH_DAYS)))
    slow, fast, recent = (present * decays[:, at] for at in range(3))
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
        "hour": hour * present,
        "weekday": weekday * present,
        "store": same_store * present,
        "size": trips.size,
        "gap": trips.gap * present,
        "recent_hour": recent * hour,
        "recent_store": recent * same_store,
        "recent": recent,
        "present": present,
        "like_size": like["like_hour_day_store"] * trips.size,
    }
    per_trip = tf.stack([*like.values(), *facts.values()], axis=1)
    per_candidate = batch.sum_by_repeat(tf.gather(per_trip, trips.of_line))
    per_request = tf.math.unsorted_segment_sum(per_trip, trips.row, batch.n)
    names = (*like, *facts)
    is_known = [tf.cast(values, tf.float32) for values in (raw["time_known"], raw["at_store"] > 0)]
    gates = tf.gather(tf.stack(is_known), batch.repeat_row, axis=1)
    blocks = (
        *_build_features(
            batch, NamedSums(names, per_candidate), NamedSums(names, per_request), now_gap
        ),
        FeatureBlock(("time_known", "store_known"), tf.ones_like(gates)),
    )
    return tuple(
        _apply_gates([block for block in blocks if block.logged is part], gates)
        for part in (False, True)
    )


def _apply_gates(blocks: Sequence[FeatureBlock], gates: tf.Tensor) -> FeatureBlock:
    """Return one block in which features that need an unknown time or store are 0."""
    names = tuple(name for block in blocks for name in block.names)
    needed = tf.gather(gates, [int(name in TIMELESS) for name in names])
    rows = tf.concat([block.rows for block in blocks], axis=0)
    return FeatureBlock(names, rows * needed, blocks[0].logged)


class NamedSums(NamedTuple):
    """Sums over trips by name: [n, n_names]."""

    names: tuple[str, ...]
    sums: tf.Tensor

    def of(self, *names: str) -> tf.Tensor:
        """Return [n, len(names)] the sums of consecutive names."""
        first = self.names.index(names[0])
        assert self.names[first : first + len(names)] == names
        return self.sums[:, first : first + len(names)]

    def one(self, name: str) -> tf.Tensor:
        """Return [n] the sum called `name`."""
        return self.sums[:, self.names.index(name)]


def _build_features(
    batch: Batch, per_candidate: NamedSums, per_request: NamedSums, now_gap: tf.Tensor
) -> tuple[FeatureBlock, ...]:
    """Return the features before `_apply_gates`."""
    recent = tf.maximum(per_request.of("recent"), 1e-6)
    usual_size = per_request.one("size") / tf.maximum(per_request.one("present"), 1.0)
    like = tf.maximum(per_request.one("like_hour_day_store"), 1e-6)
    expected = per_request.one("like_size") / like
    evidence = tf.math.log1p(per_request.one("like_hour_day_store"))
    others = [usual_size, now_gap, expected, expected - usual_size, evidence]
    likes = tf.maximum(per_request.of(*LIKE), 1e-6)
    usual = per_request.of("recent_hour", "recent_store") / recent
    of_row = tf.gather(
        tf.concat([likes, usual, tf.stack(others, axis=1)], axis=1), batch.repeat_row
    )
    n_like = len(LIKE)
    likes, usual, typical, expected = tf.split(of_row, [n_like, 2, 2, 3], axis=1)
    count = tf.cast(batch.repeat_count, tf.float32)[:, tf.newaxis]
    means = per_candidate.of("hour", "weekday", "store", "size", "gap") / count
    matches = tf.gather(means, [0, 2], axis=1)
    return (
        build_block(LIKE, tf.sqrt(per_candidate.of(*LIKE) / likes)),
        build_block(("hour_match", "weekday_match", "store_match"), means[:, :3]),
        build_block(("hour_lift", "store_lift"), matches - usual),
        build_block(
            ("hour_decayed", "store_decayed"),
            per_candidate.of("recent_hour", "recent_store"),
            logged=True,
        ),
        build_block(("user_hour_share", "user_store_share"), usual),
        build_block(("basket_size_lift", "gap_lift"), means[:, 3:] - typical),
        build_block(("expected_size", "expected_size_lift", "like_evidence"), expected),
    )


def _clock(batch: Batch, trips: Trips) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return [n_trips] closeness of the hour, same weekday, same side of the week."""
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
    """Return [n] log(1 + days) since the latest basket, FIRST_GAP_DAYS without any."""
    latest = tf.math.unsorted_segment_min(trips.age, trips.row, batch.n)
    return tf.math.log1p(tf.where(batch.n_baskets > 0, latest, FIRST_GAP_DAYS))

"""Features of a repeat candidate: one row of numbers per pair of a request and an item.

TensorFlow computes all features inside the exported graph, so training and serving cannot differ.
Counts and days are log(1 + x). Names are grouped, so that an ablation can drop a group.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.recommenders.base.batch import LONG_AGO_DAYS, Batch
from pipeline.recommenders.base.items import STATE, ItemState, OfferWeeks
from pipeline.recommenders.base.top_k import rank_in_row
from pipeline.recommenders.ranker.blocks import FeatureBlock, assemble, build_block
from pipeline.recommenders.ranker.promotions import (
    OFFER_NAMES,
    PRICE_NAMES,
    Offers,
    offer_features,
    price_features,
)
from pipeline.recommenders.ranker.trips import TRIP_NAMES, trip_features

DECAYS = (3.0, 7.0, 14.0, 30.0, 60.0, 120.0, 365.0)
RECENT_BASKETS = (5, 10, 20)
MAXIMUM_DUE = 8.0
STRENGTH_STEPS = 4096.0  # resolution of strengths

GROUPS: dict[str, tuple[str, ...]] = {
    "frequency": (
        "n_purchases",
        *(f"decayed_{tau:.0f}" for tau in DECAYS),
        "share_of_baskets",
        *(f"share_of_last_{n}" for n in RECENT_BASKETS),
        "rank_in_history",
        "share_of_strongest",
    ),
    "timing": (
        "days_since_last",
        "days_since_one_before",
        "days_since_first",
        "mean_gap",
        "gap_deviation",
        "due",
        "off_due",
        "late_in_deviations",
        "baskets_since_last",
    ),
    "trips": TRIP_NAMES,
    "user": ("user_baskets", "user_gap", "user_days_since_last", "user_basket_size", "hour"),
    "item": (*STATE[:4], "item_gap", "item_due", "trend"),
    "offers": OFFER_NAMES,
    "price": PRICE_NAMES,
    "substitutes": (
        "type_decayed_30",
        "type_decayed_120",
        "type_days_since_last",
        "share_of_type",
        "category_decayed_60",
    ),
    "quantity": ("mean_quantity", "last_quantity"),
    "cart": ("cart_size", "type_in_cart", "category_in_cart"),
}
NAMES = tuple(name for names in GROUPS.values() for name in names)
N_FEATURES = len(NAMES)
RANK = NAMES.index("rank_in_history")
N_STRONGEST = 200  # per request; weaker candidates hardly ever reach a list


@dataclass(frozen=True)
class ItemTables:
    """Constants per item that features look up.

    Attributes:
        state: Sales and repeat purchases at the cut-off.
        offers: Calendar of promotions.
        type_code: [n_items] code of the type, the finest class.
        category_code: [n_items] code of the category, the middle class.
        n_types: Number of type codes.
        n_categories: Number of category codes.
    """

    state: ItemState
    offers: OfferWeeks
    type_code: np.ndarray[Any, Any]
    category_code: np.ndarray[Any, Any]
    n_types: int
    n_categories: int


class RepeatFeatures(tf.Module):
    """[n_repeat, N_FEATURES] features of the repeat candidates."""

    def __init__(self, tables: ItemTables) -> None:
        """Put the tables into the graph; training assigns `state` for each cut-off."""
        super().__init__()
        self.state = tf.Variable(tables.state.values, trainable=False, name="state")
        self.offers = Offers(tables.offers)
        self.type_code = tf.constant(tables.type_code)
        self.category_code = tf.constant(tables.category_code)
        self.n_types = tables.n_types
        self.n_categories = tables.n_categories

    def __call__(self, batch: Batch) -> tf.Tensor:
        """Return one row per repeat candidate, columns in the order of NAMES."""
        state = tf.gather(self.state, batch.repeat_item)
        sums = self._sums(batch)
        last = tf.gather(batch.raw["age_days"], batch.repeat_start)
        blocks = [
            *_frequency(batch, sums),
            *_timing(batch, sums, last, state[:, STATE.index("median_gap")]),
            _user(batch),
            *_item(state, last),
            *trip_features(batch),
            *offer_features(batch, self.offers),
            *price_features(batch, self.state[:, STATE.index("usual_price")]),
            *self._substitutes(batch, sums.decayed, last),
            _quantity(batch, sums),
            self._cart(batch),
        ]
        return tf.transpose(assemble(blocks, NAMES))

    def _sums(self, batch: Batch) -> "Sums":
        age, ago = batch.raw["age_days"], batch.raw["baskets_ago"]
        weights = tf.exp(-age[:, tf.newaxis] / tf.constant(DECAYS))
        recent = tf.cast(ago[:, tf.newaxis] < tf.constant(RECENT_BASKETS), tf.float32)
        later = tf.concat([age[1:], age[-1:]], axis=0)
        same = tf.concat([batch.line_repeat[1:] == batch.line_repeat[:-1], [False]], axis=0)
        squares = tf.where(same, tf.square(later - age), 0.0)
        others = tf.stack([batch.raw["quantity"], squares], axis=1)
        sums = batch.sum_by_repeat(tf.concat([weights, recent, others], axis=1))
        end = len(DECAYS) + len(RECENT_BASKETS)
        return Sums(
            count=tf.cast(batch.repeat_count, tf.float32),
            decayed=sums[:, : len(DECAYS)],
            recent=sums[:, len(DECAYS) : end],
            quantity=sums[:, end],
            squared_gaps=sums[:, end + 1],
        )

    def _substitutes(
        self, batch: Batch, decayed: tf.Tensor, last: tf.Tensor
    ) -> tuple[FeatureBlock, ...]:
        at_30, at_60, at_120 = (DECAYS.index(tau) for tau in (30.0, 60.0, 120.0))
        kind, n_kinds = self._groups(batch, self.type_code, self.n_types)
        strengths = tf.stack([decayed[:, at_30], decayed[:, at_120]], axis=1)
        of_kind = tf.gather(tf.math.unsorted_segment_sum(strengths, kind, n_kinds), kind)
        latest = tf.gather(tf.math.unsorted_segment_min(last, kind, n_kinds), kind)
        wide, n_wide = self._groups(batch, self.category_code, self.n_categories)
        of_category = tf.math.unsorted_segment_sum(decayed[:, at_60], wide, n_wide)
        names = ("type_decayed_30", "type_decayed_120", "type_days_since_last")
        logged = [of_kind[:, 0], of_kind[:, 1], latest, tf.gather(of_category, wide)]
        share = decayed[:, at_120] / tf.maximum(of_kind[:, 1], 1e-9)
        return (
            build_block((*names, "category_decayed_60"), logged, logged=True),
            build_block(["share_of_type"], [share]),
        )

    def _groups(self, batch: Batch, codes: tf.Tensor, n_codes: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Return [n_repeat] the group of each candidate's request and code, and their number."""
        return _pair(
            batch.repeat_row, tf.gather(codes, batch.repeat_item), n_codes
        ), batch.n * n_codes

    def _cart(self, batch: Batch) -> FeatureBlock:
        splits, cart = batch.raw["cart_splits"], batch.raw["cart_item"]
        sizes = tf.cast(splits[1:] - splits[:-1], tf.float32)
        ones = tf.ones_like(cart, tf.float32)
        columns = [tf.gather(sizes, batch.repeat_row)]
        for codes, n_codes in (
            (self.type_code, self.n_types),
            (self.category_code, self.n_categories),
        ):
            group, n_groups = self._groups(batch, codes, n_codes)
            inside = _pair(batch.cart_row, tf.gather(codes, cart), n_codes)
            columns.append(tf.gather(tf.math.unsorted_segment_sum(ones, inside, n_groups), group))
        return build_block(GROUPS["cart"], columns, logged=True)


@dataclass(frozen=True)
class Sums:
    """Sums over the purchases of each repeat candidate.

    Attributes:
        count: [n_repeat] purchases.
        decayed: [n_repeat, len(DECAYS)] decayed weights.
        recent: [n_repeat, len(RECENT_BASKETS)] purchases in the latest baskets.
        quantity: [n_repeat] units.
        squared_gaps: [n_repeat] squared days between consecutive purchases.
    """

    count: tf.Tensor
    decayed: tf.Tensor
    recent: tf.Tensor
    quantity: tf.Tensor
    squared_gaps: tf.Tensor


def _frequency(batch: Batch, sums: Sums) -> tuple[FeatureBlock, ...]:
    strength = sums.decayed[:, DECAYS.index(120.0)]
    # Items bought on the same trips are equally strong, but rounding differs between machines:
    # coarse steps make them tie, and ties keep the order of the items.
    steps = tf.round(strength * STRENGTH_STEPS)
    rank = tf.cast(rank_in_row(steps, batch.repeat_row, batch.n), tf.float32)
    strongest = tf.math.unsorted_segment_max(strength, batch.repeat_row, batch.n)
    n_baskets = tf.maximum(tf.gather(batch.n_baskets, batch.repeat_row), 1.0)
    windows = tf.minimum(tf.constant(RECENT_BASKETS, tf.float32), n_baskets[:, tf.newaxis])
    shares = sums.count / n_baskets, strength / tf.gather(strongest, batch.repeat_row)
    return (
        build_block(("n_purchases", "rank_in_history"), (sums.count, rank), logged=True),
        build_block(tuple(f"decayed_{tau:.0f}" for tau in DECAYS), sums.decayed, logged=True),
        build_block(tuple(f"share_of_last_{n}" for n in RECENT_BASKETS), sums.recent / windows),
        build_block(("share_of_baskets", "share_of_strongest"), shares),
    )


def _timing(
    batch: Batch, sums: Sums, last: tf.Tensor, usual: tf.Tensor
) -> tuple[FeatureBlock, ...]:
    age, start = batch.raw["age_days"], batch.repeat_start
    many = batch.repeat_count > 1
    first = tf.gather(age, start + batch.repeat_count - 1)
    before = tf.gather(age, tf.minimum(start + 1, tf.shape(age)[0] - 1))
    n_gaps = sums.count - 1.0
    spans = tf.maximum(n_gaps, 1.0)
    mean_gap = tf.where(many, (first - last) / spans, usual)
    variance = sums.squared_gaps / spans - tf.square(tf.where(many, mean_gap, 0.0))
    deviation = tf.sqrt(tf.maximum(variance, 0.0) + 1e-6)
    expected = (mean_gap * n_gaps + usual) / (n_gaps + 1.0)
    due = tf.minimum(last / tf.maximum(expected, 0.5), MAXIMUM_DUE)
    logged = {
        "days_since_last": last,
        "days_since_one_before": tf.where(many, before, LONG_AGO_DAYS),
        "days_since_first": first,
        "mean_gap": mean_gap,
        "gap_deviation": deviation,
        "baskets_since_last": tf.cast(tf.gather(batch.raw["baskets_ago"], start), tf.float32),
    }
    plain = {
        "due": due,
        "off_due": tf.abs(due - 1.0),
        "late_in_deviations": (last - expected) / (deviation + 3.0),
    }
    return (
        build_block(tuple(logged), tuple(logged.values()), logged=True),
        build_block(tuple(plain), tuple(plain.values())),
    )


def _user(batch: Batch) -> FeatureBlock:
    age = batch.raw["age_days"]
    ends = batch.max_by_row(tf.stack([age, LONG_AGO_DAYS - age], axis=1))
    oldest, newest = ends[:, 0], LONG_AGO_DAYS - ends[:, 1]
    splits = batch.raw["row_splits"]
    n_lines = tf.cast(splits[1:] - splits[:-1], tf.float32)
    gap = (oldest - newest) / tf.maximum(batch.n_baskets - 1.0, 1.0)
    size = n_lines / tf.maximum(batch.n_baskets, 1.0)
    logged = [batch.n_baskets, tf.maximum(gap, 0.0), tf.maximum(newest, 0.0), size]
    hour = tf.cast(batch.raw["local_hour"] * batch.raw["time_known"], tf.float32)
    per_user = tf.concat([tf.math.log1p(tf.stack(logged, axis=1)), hour[:, tf.newaxis]], axis=1)
    return build_block(GROUPS["user"], tf.gather(per_user, batch.repeat_row))


def _item(state: tf.Tensor, last: tf.Tensor) -> tuple[FeatureBlock, ...]:
    gap = state[:, STATE.index("median_gap")]
    due = tf.minimum(last / tf.maximum(gap, 0.5), MAXIMUM_DUE)
    return (
        build_block(STATE[:-1], state[:, :-1]),  # the usual price is in another group
        build_block(["item_gap"], [gap], logged=True),
        build_block(["item_due"], [due]),
    )


def _quantity(batch: Batch, sums: Sums) -> FeatureBlock:
    last = tf.gather(batch.raw["quantity"], batch.repeat_start)
    return build_block(GROUPS["quantity"], (sums.quantity / sums.count, last), logged=True)


def _pair(row: tf.Tensor, code: tf.Tensor, n_codes: int) -> tf.Tensor:
    """Return the number of a request and a code: 0..n * n_codes - 1."""
    return row * n_codes + code


def last_ages(batch: Batch, n_ages: int) -> tf.Tensor:
    """Return [n_repeat, n_ages] log(1 + age) of the latest purchases, padded with 0."""
    place = tf.range(n_ages)[tf.newaxis]
    is_purchase = place < batch.repeat_count[:, tf.newaxis]
    line = tf.where(is_purchase, batch.repeat_start[:, tf.newaxis] + place, 0)
    return tf.where(is_purchase, tf.math.log1p(tf.gather(batch.raw["age_days"], line)), 0.0)

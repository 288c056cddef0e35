"""What the ranker sees of a request and an item of its history: one row of numbers per pair.

All of it is TensorFlow, so it is part of the exported graph: training and serving cannot differ.
Counts and days are log(1 + x). The names are grouped, so that a group can be switched off.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.families.ranker.promotions import (
    OFFER_NAMES,
    PRICE_NAMES,
    offer_features,
    price_features,
)
from pipeline.families.ranker.trips import TRIP_NAMES, trip_features
from pipeline.recommenders.graph import LONG_AGO_DAYS, Batch
from pipeline.recommenders.items import STATE, ItemState, OfferWeeks
from pipeline.recommenders.top import rank_in_row

DECAYS = (3.0, 7.0, 14.0, 30.0, 60.0, 120.0, 365.0)
RECENT_BASKETS = (5, 10, 20)
MAXIMUM_DUE = 8.0
STRENGTH_STEPS = 4096.0  # in which strengths are told apart

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
N_STRONGEST = 200  # per request; what is beyond is hardly ever chosen


@dataclass(frozen=True)
class ItemTables:
    """Constants per item that features look up.

    Attributes:
        state: Sales and repeats at the cut-off.
        offers: The calendar of promotions.
        type_code: [n_items] finest class.
        category_code: [n_items] middle class.
        n_types: Number of type codes.
        n_categories: Number of category codes.
    """

    state: ItemState
    offers: OfferWeeks
    type_code: np.ndarray[Any, Any]
    category_code: np.ndarray[Any, Any]
    n_types: int
    n_categories: int


class OwnFeatures(tf.Module):
    """[n_own, N_FEATURES] numbers of the items that were bought before."""

    def __init__(self, tables: ItemTables) -> None:
        """Put the tables into the graph; `state` is assigned anew for each cut-off in training."""
        super().__init__()
        self.state = tf.Variable(tables.state.values, trainable=False, name="state")
        self.offers = tf.Variable(tables.offers.table, trainable=False, name="offers")
        self.first_week = tables.offers.first_week
        self.type_code = tf.constant(tables.type_code)
        self.category_code = tf.constant(tables.category_code)
        self.n_types = tables.n_types
        self.n_categories = tables.n_categories

    def __call__(self, batch: Batch) -> tf.Tensor:
        """Return one row per own item, columns in the order of NAMES."""
        found: dict[str, tf.Tensor] = {}
        found |= self._frequency(batch)
        found |= self._timing(batch, found)
        found |= self._user(batch)
        found |= self._item(batch, found)
        found |= trip_features(batch)
        found |= offer_features(batch, self.offers, self.first_week)
        found |= price_features(batch, self.state[:, STATE.index("usual_price")])
        found |= self._substitutes(batch, found)
        found |= self._quantity(batch)
        found |= self._cart(batch)
        columns = [tf.cast(found[name], tf.float32) for name in NAMES]
        return tf.transpose(tf.stack(columns, axis=0))  # faster than a stack of strided columns

    def _frequency(self, batch: Batch) -> dict[str, tf.Tensor]:
        age, ago = batch.raw["age_days"], batch.raw["baskets_ago"]
        count = tf.cast(batch.own_count, tf.float32)
        weights = tf.exp(-age[:, tf.newaxis] / tf.constant(DECAYS))
        recent = tf.cast(ago[:, tf.newaxis] < tf.constant(RECENT_BASKETS), tf.float32)
        sums = batch.own_sum(tf.concat([weights, recent], axis=1))
        decayed, recent = sums[:, : len(DECAYS)], sums[:, len(DECAYS) :]
        n_baskets = tf.maximum(tf.gather(batch.n_baskets, batch.own_row), 1.0)
        strength = decayed[:, DECAYS.index(120.0)]
        # Items bought on the same trips are equally strong, but for rounding, which differs between
        # machines: they keep the order of the items.
        steps = tf.round(strength * STRENGTH_STEPS)
        rank = rank_in_row(steps, batch.own_row, batch.n)
        strongest = tf.math.unsorted_segment_max(strength, batch.own_row, batch.n)
        found = {
            "n_purchases": tf.math.log1p(count),
            "share_of_baskets": count / n_baskets,
            "rank_in_history": tf.math.log1p(tf.cast(rank, tf.float32)),
            "share_of_strongest": strength / tf.gather(strongest, batch.own_row),
            "_decayed": decayed,
        }
        for at, tau in enumerate(DECAYS):
            found[f"decayed_{tau:.0f}"] = tf.math.log1p(decayed[:, at])
        for at, n in enumerate(RECENT_BASKETS):
            found[f"share_of_last_{n}"] = recent[:, at] / tf.minimum(float(n), n_baskets)
        return found

    def _timing(self, batch: Batch, found: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        age = batch.raw["age_days"]
        start, many = batch.own_start, batch.own_count > 1
        end = start + batch.own_count - 1
        last, first = tf.gather(age, start), tf.gather(age, end)
        following = tf.minimum(start + 1, tf.shape(age)[0] - 1)
        n_gaps = tf.cast(tf.maximum(batch.own_count - 1, 1), tf.float32)
        usual = tf.gather(self.state[:, STATE.index("median_gap")], batch.own_item)
        mean_gap = tf.where(many, (first - last) / n_gaps, usual)
        later = tf.concat([age[1:], age[-1:]], axis=0)
        same = tf.concat([batch.line_own[1:] == batch.line_own[:-1], [False]], axis=0)
        squares = batch.own_sum(tf.where(same, tf.square(later - age), 0.0)) / n_gaps
        deviation = tf.sqrt(
            tf.maximum(squares - tf.square(tf.where(many, mean_gap, 0.0)), 0.0) + 1e-6
        )
        n_own_gaps = tf.cast(batch.own_count - 1, tf.float32)
        expected = (mean_gap * n_own_gaps + usual) / (n_own_gaps + 1.0)
        due = tf.minimum(last / tf.maximum(expected, 0.5), MAXIMUM_DUE)
        found["_last"] = last
        log1p = tf.math.log1p
        return {
            "days_since_last": log1p(last),
            "days_since_one_before": log1p(
                tf.where(many, tf.gather(age, following), LONG_AGO_DAYS)
            ),
            "days_since_first": log1p(first),
            "mean_gap": log1p(mean_gap),
            "gap_deviation": log1p(deviation),
            "due": due,
            "off_due": tf.abs(due - 1.0),
            "late_in_deviations": (last - expected) / (deviation + 3.0),
            "baskets_since_last": log1p(
                tf.cast(tf.gather(batch.raw["baskets_ago"], start), tf.float32)
            ),
        }

    def _user(self, batch: Batch) -> dict[str, tf.Tensor]:
        age = batch.raw["age_days"]
        oldest, newest = batch.row_max(age), -batch.row_max(LONG_AGO_DAYS - age) + LONG_AGO_DAYS
        n_lines = batch.row_sum(tf.ones_like(age))
        gap = (oldest - newest) / tf.maximum(batch.n_baskets - 1.0, 1.0)
        log1p = tf.math.log1p
        per_user = {
            "user_baskets": log1p(batch.n_baskets),
            "user_gap": log1p(tf.maximum(gap, 0.0)),
            "user_days_since_last": log1p(tf.maximum(newest, 0.0)),
            "user_basket_size": log1p(n_lines / tf.maximum(batch.n_baskets, 1.0)),
            "hour": tf.cast(batch.raw["local_hour"] * batch.raw["time_known"], tf.float32),
        }
        return {name: tf.gather(values, batch.own_row) for name, values in per_user.items()}

    def _item(self, batch: Batch, found: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        state = tf.gather(self.state, batch.own_item)
        gap = state[:, STATE.index("median_gap")]
        due = tf.minimum(found["_last"] / tf.maximum(gap, 0.5), MAXIMUM_DUE)
        columns = {name: state[:, at] for at, name in enumerate(STATE)}
        return columns | {"item_gap": tf.math.log1p(gap), "item_due": due}

    def _substitutes(self, batch: Batch, found: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        decayed, last = found["_decayed"], found["_last"]
        kind = tf.gather(self.type_code, batch.own_item)
        _, group = tf.unique(_pair(batch.own_row, kind, self.n_types))
        n_groups = tf.reduce_max(tf.concat([group, [-1]], axis=0)) + 1
        of_type = tf.math.unsorted_segment_sum(decayed, group, n_groups)
        of_type = tf.gather(of_type, group)
        latest = tf.gather(tf.math.unsorted_segment_min(last, group, n_groups), group)
        category = tf.gather(self.category_code, batch.own_item)
        _, wide = tf.unique(_pair(batch.own_row, category, self.n_categories))
        n_wide = tf.reduce_max(tf.concat([wide, [-1]], axis=0)) + 1
        at_30, at_60, at_120 = (DECAYS.index(tau) for tau in (30.0, 60.0, 120.0))
        of_category = tf.math.unsorted_segment_sum(decayed[:, at_60], wide, n_wide)
        log1p = tf.math.log1p
        return {
            "type_decayed_30": log1p(of_type[:, at_30]),
            "type_decayed_120": log1p(of_type[:, at_120]),
            "type_days_since_last": log1p(latest),
            "share_of_type": decayed[:, at_120] / tf.maximum(of_type[:, at_120], 1e-9),
            "category_decayed_60": log1p(tf.gather(of_category, wide)),
        }

    def _quantity(self, batch: Batch) -> dict[str, tf.Tensor]:
        quantity = batch.raw["quantity"]
        mean = batch.own_sum(quantity) / tf.cast(batch.own_count, tf.float32)
        last = tf.gather(quantity, batch.own_start)
        return {"mean_quantity": tf.math.log1p(mean), "last_quantity": tf.math.log1p(last)}

    def _cart(self, batch: Batch) -> dict[str, tf.Tensor]:
        splits, cart = batch.raw["cart_splits"], batch.raw["cart_item"]
        sizes = splits[1:] - splits[:-1]
        cart_row = tf.repeat(tf.range(batch.n), sizes)
        size = tf.math.log1p(tf.cast(sizes, tf.float32))
        found = {"cart_size": tf.gather(size, batch.own_row)}
        for name, codes, n_codes in (
            ("type_in_cart", self.type_code, self.n_types),
            ("category_in_cart", self.category_code, self.n_categories),
        ):
            inside = cart_row * n_codes + tf.gather(codes, cart)
            counts = tf.math.unsorted_segment_sum(tf.ones_like(inside), inside, batch.n * n_codes)
            own = batch.own_row * n_codes + tf.gather(codes, batch.own_item)
            found[name] = tf.math.log1p(tf.cast(tf.gather(counts, own), tf.float32))
        return found


def _pair(row: tf.Tensor, code: tf.Tensor, n_codes: int) -> tf.Tensor:
    return tf.cast(row, tf.int64) * n_codes + tf.cast(code, tf.int64)


def last_ages(batch: Batch, n_ages: int) -> tf.Tensor:
    """Return [n_own, n_ages] log(1 + age) of the latest purchases, 0 where there is none."""
    place = tf.range(n_ages)[tf.newaxis]
    there = place < batch.own_count[:, tf.newaxis]
    line = tf.where(there, batch.own_start[:, tf.newaxis] + place, 0)
    return tf.where(there, tf.math.log1p(tf.gather(batch.raw["age_days"], line)), 0.0)

"""The explore head scores the items of the catalogue that a user never bought.

The score is a linear model of the item's sales and offers, the user's affinity to its type and
category, and the cart, plus the product of a learned user and item embedding. The user embedding
is the decayed mean of the embeddings of bought items, shifted by the cart, by viewed items and by
user attributes. One matrix product scores the whole catalogue.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.recommenders.base.batch import Batch, row_indices
from pipeline.recommenders.base.graph import Explainer, Parts
from pipeline.recommenders.ranker.features import RepeatFeatures

EMBEDDING_DECAY_DAYS = 60.0
AFFINITY_DECAYS = (30.0, 120.0)
SIGNALS = (
    "bought_7",
    "bought_28",
    "bought_ever",
    "repeat_fraction",
    "trend",
    "mailer_now",
    "mailer_next",
    "display_now",
    "display_next",
    "type_decayed_30",
    "type_decayed_120",
    "category_decayed_30",
    "category_decayed_120",
    "type_in_cart",
    "category_in_cart",
)
STATE_COLUMNS = (0, 1, 2, 3, 5)
START = {"bought_28": 1.0}
EXPLORE_GROUPS = ("popularity", "offers", "affinity", "cart", "viewed", "taste", "profile")


class ExploreHead(tf.Module):
    """[n, n_catalogue] scores of items to explore."""

    def __init__(
        self,
        features: RepeatFeatures,
        catalogue: tf.Tensor,
        n_codes: tuple[int, ...],
        dim: int,
        seed: int,
    ) -> None:
        """Create the weights.

        Args:
            features: Source of the constants per item.
            catalogue: [n_catalogue] item index.
            n_codes: Number of codes of each user attribute, 0 = unknown included.
            dim: Size of the embeddings.
            seed: Seed of the initial values.
        """
        super().__init__()
        self._features = features
        self.catalogue = catalogue
        self._n_codes = n_codes
        n_items = features.state.shape[0]
        random = np.random.default_rng(seed)
        table = random.normal(0.0, 0.1, (n_items, dim)).astype(np.float32)
        self.items = tf.Variable(table, name="item_embedding")
        self.anchor = tf.Variable(np.zeros_like(table), trainable=False, name="item_anchor")
        self.pace = tf.Variable(1.0, trainable=False, name="item_pace")
        self.turn = tf.Variable(np.eye(dim, dtype=np.float32), name="taste_turn")
        context = random.normal(0.0, 0.1, (n_items, dim)).astype(np.float32)
        self.context = tf.Variable(context, name="context_embedding")
        codes = np.zeros((sum(n_codes) + 1, dim), dtype=np.float32)
        self.codes = tf.Variable(codes, name="attribute_embedding")
        start = np.array([START.get(name, 0.0) for name in SIGNALS], dtype=np.float32)
        self.weights = tf.Variable(start, name="signal_weights")

        kinds = {
            "type": (features.type_code, features.n_types),
            "category": (features.category_code, features.n_categories),
        }
        self._code_shares = {
            name: _shares(tf.gather(codes_by_item, catalogue).numpy(), n_kind_codes)
            for name, (codes_by_item, n_kind_codes) in kinds.items()
        }

    def learned(self) -> dict[str, tf.Variable]:
        """Return the learned variables by name."""
        return {
            "items": self.items,
            "anchor": self.anchor,
            "pace": self.pace,
            "turn": self.turn,
            "context": self.context,
            "codes": self.codes,
            "weights": self.weights,
        }

    def __call__(self, batch: Batch) -> tf.Tensor:
        """Return [n, n_catalogue] logits; repeat candidates and cart items are still included."""
        items = self.vectors(self.catalogue)
        return _sum(self._users(batch), items, self._terms(batch), self._affinities(batch))

    def vectors(self, items: tf.Tensor) -> tf.Tensor:
        """Return the vectors of item indices; `transfer` explains their parts."""
        return tf.gather(self.anchor, items) + self.pace * tf.gather(self.items, items)

    def explain(self, batch: Batch) -> tuple[tf.Tensor, Explainer]:
        """Return the logits, and a function that explains those at [n, k] catalogue places.

        The logits are a sum, so the contributions are exact: they add up to the difference
        between the item's logit and the mean over the catalogue.
        """
        users, items = self._users(batch), self.vectors(self.catalogue)
        terms, affinities = self._terms(batch), self._affinities(batch)

        def explain_places(places: tf.Tensor) -> Parts:
            places = tf.maximum(places, 0)
            vectors = tf.gather(items, places) - tf.reduce_mean(items, axis=0)
            contributions = {
                group: tf.reduce_sum(vectors * user[:, tf.newaxis], axis=2)
                for group, user in users.items()
            }
            for group, values in terms:
                middle = tf.reduce_mean(values, axis=1, keepdims=True)
                everyone = values + tf.zeros([batch.n, 1])
                contributions[group] = tf.gather(everyone, places, batch_dims=1) - middle
            for affinity in affinities:
                for group, added in affinity.above_mean(places).items():
                    contributions[group] = contributions.get(group, 0.0) + added
            return list(contributions), tf.stack(list(contributions.values()), axis=2)

        return _sum(users, items, terms, affinities), explain_places

    def _users(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Return the [n, dim] user vectors of each group."""
        raw = batch.raw
        weight = tf.exp(-raw["age_days"] / EMBEDDING_DECAY_DAYS)[:, tf.newaxis]
        lines = self.vectors(raw["item"]) * weight
        total = batch.sum_by_row(weight)
        taste = batch.sum_by_row(lines) / tf.maximum(total, 1e-6)
        users = {"taste": tf.matmul(taste, self.turn)}
        for name in ("cart", "viewed"):
            splits = raw[f"{name}_splits"]
            sizes = splits[1:] - splits[:-1]
            rows = row_indices(splits, raw[f"{name}_item"])
            vectors = tf.gather(self.context, raw[f"{name}_item"])
            sums = tf.math.unsorted_segment_sum(vectors, rows, batch.n)
            users[name] = sums / tf.maximum(tf.cast(sizes, tf.float32), 1.0)[:, tf.newaxis]
        return users | {"profile": self._attributes(batch)}

    def _attributes(self, batch: Batch) -> tf.Tensor:
        """Return [n, dim] attribute vectors; an unknown code adds 0."""
        offsets = np.concatenate([[0], np.cumsum(self._n_codes)])[:-1].astype(np.int32)
        codes = batch.raw["user_attributes"]
        codes = tf.reshape(codes, [batch.n, len(self._n_codes)])
        rows = tf.where(codes > 0, codes + offsets + 1, 0)
        rows = tf.minimum(rows, tf.shape(self.codes)[0] - 1)
        known = tf.cast(codes > 0, tf.float32)[..., tf.newaxis]
        return tf.reduce_sum(tf.gather(self.codes, rows) * known, axis=1)

    def _terms(self, batch: Batch) -> list[tuple[str, tf.Tensor]]:
        """Return the weighted signals of the items by group, [n or 1, n_catalogue] each."""
        weights = dict(zip(SIGNALS, tf.unstack(self.weights), strict=True))
        state = tf.gather(tf.gather(self._features.state, self.catalogue), STATE_COLUMNS, axis=1)
        sales = tf.linalg.matvec(state, self.weights[: len(STATE_COLUMNS)])[tf.newaxis]
        calendar = self._features.offers
        shares = calendar.shares_by_week(self.catalogue, 2)  # of mailers and displays
        first, last = calendar.week(batch), calendar.n_weeks - 1
        offers: Any = 0.0
        for step, when in ((0, "now"), (1, "next")):
            pair = tf.stack([weights[f"mailer_{when}"], weights[f"display_{when}"]])
            week = tf.clip_by_value(first + step, 0, last)
            offers += tf.gather(tf.linalg.matvec(shares, pair), week)
        return [("popularity", sales), ("offers", offers)]

    def _affinities(self, batch: Batch) -> list["Affinity"]:
        """Return the affinities to types and to categories."""
        weights = dict(zip(SIGNALS, tf.unstack(self.weights), strict=True))
        cart = batch.raw["cart_item"]
        ones = tf.ones_like(cart, tf.float32)[:, tf.newaxis]
        decayed = tf.exp(-batch.raw["age_days"][:, tf.newaxis] / tf.constant(AFFINITY_DECAYS))
        affinities = []
        for name, codes, n_codes in (
            ("type", self._features.type_code, self._features.n_types),
            ("category", self._features.category_code, self._features.n_categories),
        ):
            line_codes, cart_codes = tf.gather(codes, batch.raw["item"]), tf.gather(codes, cart)
            summed = _by_code(decayed, batch.line_row, line_codes, batch.n, n_codes)
            decay_weights = tf.stack(
                [weights[f"{name}_decayed_{days:.0f}"] for days in AFFINITY_DECAYS]
            )
            cart_counts = _by_code(ones, batch.cart_row, cart_codes, batch.n, n_codes)[:, :, 0]
            groups = {
                "affinity": tf.linalg.matvec(tf.math.log1p(summed), decay_weights),
                "cart": weights[f"{name}_in_cart"] * tf.math.log1p(cart_counts),
            }
            affinities.append(
                Affinity(tf.gather(codes, self.catalogue), self._code_shares[name], groups)
            )
        return affinities


class Affinity(NamedTuple):
    """Contributions of a user's history and cart to all items of a code.

    Attributes:
        codes: [n_catalogue] code of each item.
        shares: [n_codes] share of each code in the catalogue.
        groups: [n, n_codes] contributions by group.
    """

    codes: tf.Tensor
    shares: np.ndarray[Any, Any]
    groups: dict[str, tf.Tensor]

    def of_catalogue(self) -> tf.Tensor:
        """Return [n, n_catalogue] the sum of the groups."""
        return tf.gather(tf.add_n(list(self.groups.values())), self.codes, axis=1)

    def above_mean(self, places: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return [n, k] contributions by group at [n, k] places, minus the catalogue's mean."""
        codes = tf.gather(self.codes, places)
        return {
            group: tf.gather(values, codes, batch_dims=1)
            - tf.linalg.matvec(values, self.shares)[:, tf.newaxis]
            for group, values in self.groups.items()
        }


def _shares(codes: np.ndarray[Any, Any], n_codes: int) -> np.ndarray[Any, Any]:
    """Return [n_codes] the share of each code."""
    return (np.bincount(codes, minlength=n_codes) / max(len(codes), 1)).astype(np.float32)


def _sum(
    users: dict[str, tf.Tensor],
    items: tf.Tensor,
    terms: Sequence[tuple[str, tf.Tensor]],
    affinities: Sequence[Affinity],
) -> tf.Tensor:
    """Return [n, n_catalogue] the sum of the embedding products and all signals."""
    total, *others = (values for _, values in terms)
    for values in (*others, *(affinity.of_catalogue() for affinity in affinities)):
        total += values
    return tf.matmul(tf.add_n(list(users.values())), items, transpose_b=True) + total


def _by_code(
    values: tf.Tensor, row: tf.Tensor, code: tf.Tensor, n: tf.Tensor, n_codes: int
) -> tf.Tensor:
    """Return [n, n_codes, m] sums of [n_lines, m] values; code 0 (unknown) stays 0."""
    values = tf.where(code[:, tf.newaxis] > 0, values, 0.0)
    flat = tf.math.unsorted_segment_sum(values, row * n_codes + code, n * n_codes)
    return tf.reshape(flat, [n, n_codes, values.shape[1]])

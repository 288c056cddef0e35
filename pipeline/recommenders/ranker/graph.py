"""The Keras temporal ranker as a graph: features, network and explore head in one piece."""

from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import RankerParams
from pipeline.recommenders.base.graph import Batch, Parts, RankingGraph, Why
from pipeline.recommenders.base.items import KINDS, classes_of, item_state, offer_weeks
from pipeline.recommenders.base.shop import TrainingData
from pipeline.recommenders.base.top import NOTHING, mean_of_row, take
from pipeline.recommenders.ranker.explain import column_masks, group_contributions, told_apart
from pipeline.recommenders.ranker.explore import EXPLORE_GROUPS, ExploreHead
from pipeline.recommenders.ranker.features import (
    GROUPS,
    N_FEATURES,
    N_STRONGEST,
    RANK,
    ItemTables,
    RepeatFeatures,
    last_ages,
)
from pipeline.recommenders.ranker.network import mean_score

HISTORY = "history"
OWNERS = told_apart(GROUPS)
OWN_GROUPS = (*dict.fromkeys(OWNERS.values()), HISTORY)
WEEKS = {"now": 0, "next": 1}


class RankerGraph(RankingGraph):
    """Own items by the network, other items by the explore head.

    An own item is explained by the groups of its features, some told apart, and by `history`,
    the encoder of its last ages. The facts are the shares of stores in which it is on offer,
    this week and next.
    """

    groups = tuple(dict.fromkeys((*OWN_GROUPS, *EXPLORE_GROUPS)))
    facts = tuple(f"{kind} {when}" for when in WEEKS for kind in KINDS)

    def __init__(
        self,
        tables: ItemTables,
        params: RankerParams,
        n_codes: tuple[int, ...],
        seed: int,
    ) -> None:
        """Build everything but the network, which needs the features' statistics first.

        Args:
            tables: Constants per item.
            params: Sizes.
            n_codes: Per user attribute, the number of codes with 0 = unknown.
            seed: For the first values of the embeddings.
        """
        super().__init__(tables.state.popularity, params.explore_catalogue)
        self.features = RepeatFeatures(tables)
        self.explore = ExploreHead(
            self.features, self.catalogue, n_codes, params.embedding_dim, seed
        )
        self.network: Any = None
        self._n_ages = params.n_ages

    def score_own(self, batch: Batch) -> tf.Tensor:
        """Return the network's logits; only the N_STRONGEST of a request are to choose from."""
        return self._score_strongest(self._inputs(batch))

    def _inputs(self, batch: Batch) -> list[tf.Tensor]:
        kind = tf.gather(self.features.type_code, batch.own_item)
        return [self.features(batch), last_ages(batch, self._n_ages), kind]

    def _score(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        return mean_score(self.network, inputs)

    def _score_strongest(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        rank = inputs[0][:, RANK]  # log(1 + rank)
        strong = tf.where(rank < np.log(N_STRONGEST + 0.5))
        scores = self._score([tf.gather(each, strong[:, 0]) for each in inputs])
        others = tf.fill(tf.shape(rank), NOTHING)
        return tf.tensor_scatter_nd_update(others, strong, scores)

    def explain_own(self, batch: Batch) -> tuple[tf.Tensor, Why]:
        """Return the logits, and what the groups of features and the ages add to them.

        The kind of product is what it is: it is never taken away.
        """
        inputs = self._inputs(batch)
        *told, kind = inputs
        numbers = tf.concat(told, axis=1)
        owners = [*OWNERS.values(), *[HISTORY] * self._n_ages]
        mask = column_masks(owners, OWN_GROUPS)

        def why(pairs: tf.Tensor) -> Parts:
            k = tf.shape(pairs)[1]
            typical = mean_of_row(numbers, batch.own_row, batch.n)
            typical = tf.gather(typical, tf.range(batch.n * k) // k)
            actual = tf.reshape(take(numbers, pairs), [-1, len(owners)])
            kinds = tf.reshape(take(kind, pairs), [-1, 1])

            def score(rows: tf.Tensor, n_variants: int) -> tf.Tensor:
                features, ages = rows[:, :N_FEATURES], rows[:, N_FEATURES:]
                every = tf.reshape(kinds + np.zeros((1, n_variants), np.int32), [-1])
                return self._score([features, ages, every])

            found = group_contributions(score, actual, typical, mask)
            return OWN_GROUPS, tf.reshape(found, [batch.n, k, len(OWN_GROUPS)])

        return self._score_strongest(inputs), why

    def score_catalogue(self, batch: Batch) -> tf.Tensor:
        """Return the explore head's logits."""
        return self.explore(batch)

    def explain_catalogue(self, batch: Batch) -> tuple[tf.Tensor, Why]:
        """Return the explore head's logits, and what its signals and embeddings add to them."""
        logits, why = self.explore.explain(batch)
        return logits, lambda items: why(tf.gather(self.catalogue_place, items))

    def tell(self, batch: Batch, items: tf.Tensor) -> tf.Tensor:
        """Return [n, k, n_facts] the share of stores that promote each item."""
        offers = self.features.offers
        weeks = offers.week(batch)[:, tf.newaxis] + tf.constant(list(WEEKS.values()))
        shares = offers.shares(weeks[:, tf.newaxis], items[:, :, tf.newaxis])
        return tf.reshape(shares, [*tf.unstack(tf.shape(items)), len(self.facts)])


def tables_of(shop: TrainingData, cutoff: float, popular_days: int) -> ItemTables:
    """Return what is known of the items at `cutoff`."""
    type_code, n_types = classes_of(shop.items, "type")
    category_code, n_categories = classes_of(shop.items, "category")
    return ItemTables(
        state=item_state(shop.histories, len(shop.vocabulary), cutoff, popular_days=popular_days),
        offers=offer_weeks(
            shop.offers,
            shop.items["item_id"],
            shop.timezone,
            first_sale=float(shop.histories.time.min()),
            cutoff=shop.cutoff,
        ),
        type_code=type_code,
        category_code=category_code,
        n_types=n_types,
        n_categories=n_categories,
    )


def code_counts(shop: TrainingData) -> tuple[int, ...]:
    """Return per user attribute the number of codes, 0 = unknown included."""
    return tuple(int(n) + 1 for n in np.asarray(shop.attributes.max(axis=0)).tolist())


def state_at(cutoff: float, shop: TrainingData, popular_days: int) -> np.ndarray[Any, Any]:
    """Return [n_items, len(STATE)]: only the numbers that change from cut-off to cut-off."""
    n_items = len(shop.vocabulary)
    return item_state(shop.histories, n_items, cutoff, popular_days=popular_days).values

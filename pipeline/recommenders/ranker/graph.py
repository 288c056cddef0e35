"""The Keras temporal ranker as a graph of features, network and explore head."""

from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.contracts.params import RankerParams
from pipeline.recommenders.base.batch import Batch
from pipeline.recommenders.base.graph import Explainer, Parts, RankingGraph
from pipeline.recommenders.base.items import (
    KINDS,
    build_offer_weeks,
    compute_item_state,
    encode_classes,
)
from pipeline.recommenders.base.top_k import NOTHING, mean_of_row, take
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.ranker.explain import column_masks, group_contributions, split_groups
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
GROUP_OF_FEATURE = split_groups(GROUPS)
REPEAT_GROUPS = (*dict.fromkeys(GROUP_OF_FEATURE.values()), HISTORY)
WEEKS = {"now": 0, "next": 1}


class RankerGraph(RankingGraph):
    """Scores repeat candidates with the network and new items with the explore head.

    The groups of a repeat candidate's explanation are those of its features, some of them split,
    and `history`, the encoder of its last ages. The facts are the shares of stores in which the
    item is on offer, this week and next.
    """

    groups = tuple(dict.fromkeys((*REPEAT_GROUPS, *EXPLORE_GROUPS)))
    facts = tuple(f"{kind} {when}" for when in WEEKS for kind in KINDS)

    def __init__(
        self,
        tables: ItemTables,
        params: RankerParams,
        n_codes: tuple[int, ...],
        seed: int,
    ) -> None:
        """Build everything but the network, which needs the statistics of the features.

        Args:
            tables: Constants per item.
            params: Sizes.
            n_codes: Number of codes of each user attribute, 0 = unknown included.
            seed: Seed of the initial embeddings.
        """
        super().__init__(tables.state.popularity, params.explore_catalogue)
        self.features = RepeatFeatures(tables)
        self.explore = ExploreHead(
            self.features, self.catalogue, n_codes, params.embedding_dim, seed
        )
        self.network: Any = None
        self._n_ages = params.n_ages

    def score_repeat(self, batch: Batch) -> tf.Tensor:
        """Return the network's logits for the N_STRONGEST of a request, NOTHING for the others."""
        return self._score_strongest(self._inputs(batch))

    def _inputs(self, batch: Batch) -> list[tf.Tensor]:
        kind = tf.gather(self.features.type_code, batch.repeat_item)
        return [self.features(batch), last_ages(batch, self._n_ages), kind]

    def _score(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        return mean_score(self.network, inputs)

    def _score_strongest(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        rank = inputs[0][:, RANK]  # log(1 + rank)
        strong = tf.where(rank < np.log(N_STRONGEST + 0.5))
        scores = self._score([tf.gather(values, strong[:, 0]) for values in inputs])
        others = tf.fill(tf.shape(rank), NOTHING)
        return tf.tensor_scatter_nd_update(others, strong, scores)

    def explain_repeat(self, batch: Batch) -> tuple[tf.Tensor, Explainer]:
        """Return the logits, and a function that explains them by groups of features and ages.

        The kind of product stays fixed in the ablation.
        """
        inputs = self._inputs(batch)
        *numeric, kind = inputs
        numbers = tf.concat(numeric, axis=1)
        owners = [*GROUP_OF_FEATURE.values(), *[HISTORY] * self._n_ages]
        mask = column_masks(owners, REPEAT_GROUPS)

        def explain(pairs: tf.Tensor) -> Parts:
            k = tf.shape(pairs)[1]
            typical = mean_of_row(numbers, batch.repeat_row, batch.n)
            typical = tf.gather(typical, tf.range(batch.n * k) // k)
            actual = tf.reshape(take(numbers, pairs), [-1, len(owners)])
            kinds = tf.reshape(take(kind, pairs), [-1, 1])

            def score(rows: tf.Tensor, n_variants: int) -> tf.Tensor:
                features, ages = rows[:, :N_FEATURES], rows[:, N_FEATURES:]
                repeated_kinds = tf.reshape(kinds + np.zeros((1, n_variants), np.int32), [-1])
                return self._score([features, ages, repeated_kinds])

            contributions = group_contributions(score, actual, typical, mask)
            return REPEAT_GROUPS, tf.reshape(contributions, [batch.n, k, len(REPEAT_GROUPS)])

        return self._score_strongest(inputs), explain

    def score_catalogue(self, batch: Batch) -> tf.Tensor:
        """Return the explore head's logits."""
        return self.explore(batch)

    def explain_catalogue(self, batch: Batch) -> tuple[tf.Tensor, Explainer]:
        """Return the explore head's logits, and a function that explains them."""
        logits, explain = self.explore.explain(batch)
        return logits, lambda items: explain(tf.gather(self.catalogue_place, items))

    def item_facts(self, batch: Batch, items: tf.Tensor) -> tf.Tensor:
        """Return [n, k, n_facts] the share of stores that promote each item, 0..1."""
        offers = self.features.offers
        weeks = offers.week(batch)[:, tf.newaxis] + tf.constant(list(WEEKS.values()))
        shares = offers.shares(weeks[:, tf.newaxis], items[:, :, tf.newaxis])
        return tf.reshape(shares, [*tf.unstack(tf.shape(items)), len(self.facts)])


def build_item_tables(data: TrainingData, cutoff: float, popular_days: int) -> ItemTables:
    """Return the constants of the items at `cutoff`."""
    type_code, n_types = encode_classes(data.items, "type")
    category_code, n_categories = encode_classes(data.items, "category")
    return ItemTables(
        state=compute_item_state(
            data.histories, len(data.vocabulary), cutoff, popular_days=popular_days
        ),
        offers=build_offer_weeks(
            data.offers,
            data.items["item_id"],
            data.timezone,
            first_sale=float(data.histories.time.min()),
            cutoff=data.cutoff,
        ),
        type_code=type_code,
        category_code=category_code,
        n_types=n_types,
        n_categories=n_categories,
    )


def code_counts(data: TrainingData) -> tuple[int, ...]:
    """Return the number of codes of each user attribute, 0 = unknown included."""
    return tuple(int(n) + 1 for n in np.asarray(data.attributes.max(axis=0)).tolist())


def item_state_at(cutoff: float, data: TrainingData, popular_days: int) -> np.ndarray[Any, Any]:
    """Return [n_items, len(STATE)] item statistics at `cutoff`."""
    n_items = len(data.vocabulary)
    return compute_item_state(data.histories, n_items, cutoff, popular_days=popular_days).values

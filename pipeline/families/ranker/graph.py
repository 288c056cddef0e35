"""The Keras temporal ranker as a graph: features, network and explore head in one piece."""

from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.families.ranker.explore import ExploreHead
from pipeline.families.ranker.features import ItemTables, OwnFeatures, last_ages
from pipeline.params import RankerParams
from pipeline.recommenders.graph import Batch, RankingGraph
from pipeline.recommenders.items import classes_of, item_state, offer_weeks
from pipeline.recommenders.shop import Shop


class RankerGraph(RankingGraph):
    """Own items by the network, other items by the explore head."""

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
        self.features = OwnFeatures(tables)
        self.explore = ExploreHead(
            self.features, self.catalogue, n_codes, params.embedding_dim, seed
        )
        self.network: Any = None
        self._n_ages = params.n_ages

    def score_own(self, batch: Batch) -> tf.Tensor:
        """Return the network's logits."""
        inputs = [self.features(batch), last_ages(batch, self._n_ages)]
        return self.network(inputs, training=False)

    def score_catalogue(self, batch: Batch) -> tf.Tensor:
        """Return the explore head's logits."""
        return self.explore(batch)


def tables_of(shop: Shop, cutoff: float, popular_days: int) -> ItemTables:
    """Return what is known of the items at `cutoff`."""
    type_code, n_types = classes_of(shop.items, "type")
    category_code, n_categories = classes_of(shop.items, "category")
    return ItemTables(
        state=item_state(shop.histories, len(shop.vocabulary), cutoff, popular_days=popular_days),
        offers=offer_weeks(shop.offers, shop.items["item_id"], shop.timezone),
        type_code=type_code,
        category_code=category_code,
        n_types=n_types,
        n_categories=n_categories,
    )


def code_counts(shop: Shop) -> tuple[int, ...]:
    """Return per user attribute the number of codes, 0 = unknown included."""
    return tuple(int(n) + 1 for n in np.asarray(shop.attributes.max(axis=0)).tolist())


def state_at(cutoff: float, shop: Shop, popular_days: int) -> np.ndarray[Any, Any]:
    """Return [n_items, len(STATE)]: only the numbers that change from cut-off to cut-off."""
    n_items = len(shop.vocabulary)
    return item_state(shop.histories, n_items, cutoff, popular_days=popular_days).values

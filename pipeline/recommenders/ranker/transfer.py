"""Transfer: the explore head's item vectors learned elsewhere, by item2vec on all baskets.

A vector of the head is `anchor + pace * items`, of which only `items` is learned. Four ways:

| | anchor | pace | items at the start | weight decay pulls to |
|---|---|---|---|---|
| scratch | 0 | 1 | small, at random | 0 |
| frozen | item2vec | 0 | 0 | - |
| finetuned | item2vec | 0.1 | 0 | item2vec |
| initialised | 0 | 1 | item2vec | 0 |

So a fine-tuned vector moves at a tenth of the learning rate and is drawn back to where it came
from; an initialised one only starts there. Where vectors are held, the shopper's taste is turned by
a learned matrix, or nothing could fit them to the task. An item that item2vec does not know has a
zero vector to start with, or a random one when it is initialised.

References:
    Drawing back to the start: Li, Grandvalet and Davoine, 2018, arXiv:1802.01483.
"""

from typing import Any

import numpy as np

from pipeline.contracts.params import FamiliesParams
from pipeline.recommenders.base.shop import TrainingData
from pipeline.recommenders.ranker.explore import ExploreHead
from pipeline.recommenders.vectors.item2vec import item_vectors

FINE_PACE = 0.1
HELD = ("frozen", "finetuned")


def vectors_of(shop: TrainingData, params: FamiliesParams, *, seed: int) -> np.ndarray[Any, Any]:
    """Return [n_items, dim] item2vec vectors of the head's size, from baskets before validation."""
    changes = {"embedding_dim": params.ranker.embedding_dim}
    return item_vectors(shop, params.item2vec.model_copy(update=changes), seed=seed)


def start_from(head: ExploreHead, vectors: np.ndarray[Any, Any], way: str) -> None:
    """Put item vectors into a head that was not fitted yet.

    Args:
        head: Fresh.
        vectors: [n_items, dim]; zeros where nothing is known.
        way: frozen, finetuned or initialised.
    """
    if way in HELD:
        head.anchor.assign(vectors)
        head.items.assign(np.zeros_like(vectors))
        head.pace.assign(FINE_PACE if way == "finetuned" else 0.0)
    else:
        known = (vectors != 0).any(axis=1, keepdims=True)
        head.items.assign(np.where(known, vectors, head.items.numpy()))


def learned_with(head: ExploreHead, way: str) -> list[Any]:
    """Return the variables to fit: without the turn where the vectors themselves can turn."""
    learned = head.learned()
    return [variable for name, variable in learned.items() if name != "turn" or way in HELD]

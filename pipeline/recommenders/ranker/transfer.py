"""Transfer item vectors that item2vec learned on all baskets to the explore head.

A vector of the head is `anchor + pace * items`; only `items` is learned. There are four modes:

| | anchor | pace | items at the start | weight decay pulls to |
|---|---|---|---|---|
| scratch | 0 | 1 | small, at random | 0 |
| frozen | item2vec | 0 | 0 | - |
| finetuned | item2vec | 0.1 | 0 | item2vec |
| initialised | 0 | 1 | item2vec | 0 |

A fine-tuned vector moves at a tenth of the learning rate, and weight decay pulls it back to its
initial value. An initialised vector only starts there. The frozen and finetuned modes also learn a
matrix that rotates the user vector, so that the vectors fit the task. An item unknown to item2vec
starts with a zero vector, or with a random one in the mode `initialised`.

References:
    Decay towards the initial value: Li, Grandvalet and Davoine, 2018, arXiv:1802.01483.
"""

from typing import Any

import numpy as np

from pipeline.contracts.params import FamiliesParams
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.ranker.explore import ExploreHead
from pipeline.recommenders.vectors.item2vec import fit_item_vectors

FINE_PACE = 0.1
HELD = ("frozen", "finetuned")


def fit_vectors(data: TrainingData, params: FamiliesParams, *, seed: int) -> np.ndarray[Any, Any]:
    """Return [n_items, dim] item2vec vectors, fitted on baskets before validation."""
    changes = {"embedding_dim": params.ranker.embedding_dim}
    return fit_item_vectors(data, params.item2vec.model_copy(update=changes), seed=seed)


def set_item_vectors(head: ExploreHead, vectors: np.ndarray[Any, Any], way: str) -> None:
    """Put item vectors into an explore head before its fit.

    Args:
        head: Explore head with initial values.
        vectors: [n_items, dim]; zeros for unknown items.
        way: frozen, finetuned or initialised.
    """
    if way in HELD:
        head.anchor.assign(vectors)
        head.items.assign(np.zeros_like(vectors))
        head.pace.assign(FINE_PACE if way == "finetuned" else 0.0)
    else:
        known = (vectors != 0).any(axis=1, keepdims=True)
        head.items.assign(np.where(known, vectors, head.items.numpy()))


def variables_to_fit(head: ExploreHead, way: str) -> list[Any]:
    """Return the variables to fit; the rotation is learned only in the modes of HELD."""
    learned = head.learned()
    return [variable for name, variable in learned.items() if name != "turn" or way in HELD]

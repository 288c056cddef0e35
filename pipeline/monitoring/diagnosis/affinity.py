"""Who buys what before a window and in it: similarity of users, and of items, to their own past.

A user's purchases are a vector over items, weighted by inverse frequency; an item's are a vector
over users. In a healthy shop most users are most similar to their own past.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

MINIMUM_PARTNERS = 10  # distinct items of a user, or users of an item
Kind = Literal["user_id", "item_id"]
# Times the similarity to one's own past.
MUCH_NEARER = 2.0
# Share of certain pairs from which on uncertain ones are matched as well.
MOST_CERTAIN = 0.2
# Pairs of ids are compared in blocks of this many.
BLOCK = 512


@dataclass(frozen=True)
class PastAffinity:
    """How similar each id of a window is to its own past, and to the most similar past.

    Attributes:
        ids: [n] ids of the window with enough purchases in it.
        own: [n] similarity to the past of the same id, in 0..1; 0 without one.
        best: [n] similarity to the most similar past of any id.
        nearest: [n] that id.
        nearest_back: [n] the id of the window that is most similar to the past of `nearest`.
    """

    ids: npt.NDArray[np.object_]
    own: npt.NDArray[np.float64]
    best: npt.NDArray[np.float64]
    nearest: npt.NDArray[np.object_]
    nearest_back: npt.NDArray[np.object_]

    @property
    def is_mutual(self) -> npt.NDArray[np.bool_]:
        """[n] whether the nearest past is that of another id, and both are each other's nearest."""
        is_other = (self.nearest != self.ids) & (self.best > MUCH_NEARER * self.own)
        return np.asarray(is_other & (self.nearest_back == self.ids))

    @property
    def is_certain(self) -> npt.NDArray[np.bool_]:
        """[n] whether that other past is as similar as that of most ids: few are so by chance."""
        return np.asarray(self.is_mutual & (self.best >= np.median(self.best)))

    def match(self) -> dict[str, str]:
        """Return the other id whose past each mismatched id continues.

        If only a few ids are mismatched, many of the uncertain pairs are so by chance.
        """
        chosen = self.is_mutual if self.is_certain.mean() > MOST_CERTAIN else self.is_certain
        return dict(zip(self.ids[chosen], self.nearest[chosen], strict=True))


def compute_affinity(before: pd.DataFrame, now: pd.DataFrame, kind: Kind) -> PastAffinity | None:
    """Return the affinity of users (over items) or of items (over users).

    Args:
        before: schemas.EVENTS before the window.
        now: schemas.EVENTS of the window.
        kind: The column whose ids are compared. The other column must mean the same in both.

    Returns None if no id has enough purchases on both sides.
    """
    other: Kind = "item_id" if kind == "user_id" else "user_id"
    past_ids, past = _vectors(before, kind, other, pd.Index(before[other].unique()))
    ids, current = _vectors(now, kind, other, pd.Index(before[other].unique()))
    if not len(ids) or not len(past_ids):
        return None
    n_shared = np.asarray((past > 0).sum(axis=0)).ravel()
    weight = sparse.diags(np.log1p(past.shape[0] / np.maximum(n_shared, 1)))
    past, current = _normalise(past @ weight), _normalise(current @ weight)
    best = np.zeros(len(ids))
    nearest = np.zeros(len(ids), dtype=int)
    back_best, back = np.zeros(len(past_ids)), np.zeros(len(past_ids), dtype=int)
    for start in range(0, len(ids), BLOCK):
        similar = np.asarray((current[start : start + BLOCK] @ past.T).todense())
        rows = slice(start, start + len(similar))
        nearest[rows], best[rows] = similar.argmax(axis=1), similar.max(axis=1)
        top, at = similar.max(axis=0), similar.argmax(axis=0)
        back = np.where(top > back_best, at + start, back)
        back_best = np.maximum(top, back_best)
    place = past_ids.get_indexer(ids)
    is_old = place >= 0
    own = np.zeros(len(ids))
    own[is_old] = np.asarray(current[is_old].multiply(past[place[is_old]]).sum(axis=1)).ravel()
    names = ids.to_numpy(dtype=object)
    return PastAffinity(
        ids=names,
        own=own,
        best=best,
        nearest=past_ids.to_numpy(dtype=object)[nearest],
        nearest_back=names[back[nearest]],
    )


def _vectors(
    events: pd.DataFrame, kind: Kind, other: Kind, columns: pd.Index
) -> tuple[pd.Index, sparse.csr_matrix]:
    """Return the ids with enough partners, and [ids, columns] whether they are partners."""
    pairs = events[[kind, other]].drop_duplicates()
    pairs = pairs[pairs[other].isin(columns)]
    sizes = pairs[kind].value_counts()
    ids = pd.Index(sizes.index[sizes >= MINIMUM_PARTNERS])
    pairs = pairs[pairs[kind].isin(ids)]
    at = (ids.get_indexer(pd.Index(pairs[kind])), columns.get_indexer(pd.Index(pairs[other])))
    return ids, sparse.csr_matrix((np.ones(len(pairs)), at), (len(ids), len(columns)))


def _normalise(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return (sparse.diags(1 / np.maximum(length, 1e-12)) @ matrix).tocsr()

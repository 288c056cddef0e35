"""Ranking metrics: recall, NDCG, hit rate and MRR at k, one value per request."""

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Whole = npt.NDArray[np.integer]


def hit_matrix(recommended: Whole, truth_rows: Whole, truth_items: Whole) -> Bools:
    """Return [n, k] whether each recommended item is a label of its request.

    Args:
        recommended: [n, k] item index, 0 = padding.
        truth_rows: [n_labels] request of each label.
        truth_items: [n_labels] item index of each label, 0 = outside the vocabulary.

    >>> hit_matrix(np.array([[3, 1, 0]]), np.array([0, 0]), np.array([1, 0])).tolist()
    [[False, True, False]]
    """
    width = int(max(recommended.max(initial=0), truth_items.max(initial=0))) + 1
    rows = np.arange(len(recommended), dtype=np.int64)[:, None]
    wanted = np.unique(truth_rows.astype(np.int64) * width + truth_items)
    is_hit = np.isin(rows * width + recommended, wanted)
    return np.asarray(is_hit & (recommended > 0))


def recall_at_k(hits: Bools, n_true: Whole, k: int) -> Doubles:
    """Return hits in the first k over the number of labels, 0..1; NaN without labels.

    >>> recall_at_k(np.array([[True, False, True]]), np.array([4]), 2).tolist()
    [0.25]
    """
    return _ratio(hits[:, :k].sum(axis=1), n_true)


def ndcg_at_k(hits: Bools, n_true: Whole, k: int) -> Doubles:
    """Return the discounted gain over that of the ideal list of min(k, n_true) items.

    The gain is 1 per hit, the discount 1 / log2(rank + 1), the result 0..1; NaN without labels.

    References:
        Järvelin and Kekäläinen, 2002, doi:10.1145/582415.582418.

    >>> ndcg_at_k(np.array([[True, False]]), np.array([1]), 2).tolist()
    [1.0]
    """
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    gain = hits[:, :k] @ discount[: hits[:, :k].shape[1]]
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(n_true, k)]
    return _ratio(gain, ideal)


def hit_rate_at_k(hits: Bools, n_true: Whole, k: int) -> Doubles:
    """Return 1 if a label is in the first k, else 0; NaN without labels."""
    return np.where(n_true > 0, hits[:, :k].any(axis=1).astype(float), np.nan)


def mrr_at_k(hits: Bools, n_true: Whole, k: int) -> Doubles:
    """Return 1 / rank of the first hit in the first k, 0 without a hit; NaN without labels."""
    head = hits[:, :k]
    first = np.where(head.any(axis=1), 1.0 / (head.argmax(axis=1) + 1.0), 0.0)
    return np.where(n_true > 0, first, np.nan)


def _ratio(top: npt.NDArray[np.generic], bottom: npt.NDArray[np.generic]) -> Doubles:
    result = np.full(len(top), np.nan)
    np.divide(top, bottom, out=result, where=np.asarray(bottom) > 0)
    return result

"""What a peer answers: lists from scores of the whole catalogue, in the form of our own answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.items import compute_item_state
from pipeline.recommenders.base.recommender import Ranked, fill_slots
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.testing.measure import EvaluationSet, Predictions

Doubles = npt.NDArray[np.float64]
Lists = npt.NDArray[np.int32]
PART = 128
NEVER = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Peer:
    """A method from another package.

    Attributes:
        popular: [n_items] what fills up lists, and breaks ties after recency.
        lists: From questions and k to [n, k] item index: the best of all, and the best of what
            was not bought before; 0 = nothing.
    """

    popular: Doubles
    lists: Callable[[EvaluationSet, int], tuple[Lists, Lists]]

    def answer(self, questions: EvaluationSet, k: int) -> Predictions:
        """Return its lists, filled up with what is popular."""
        every, new = self.lists(questions, k)
        nothing = np.zeros(every.shape, dtype=np.float32)
        order = np.argsort(-self.popular, kind="stable")[: 2 * k]
        popular = np.tile(order.astype(np.int32), (len(every), 1))
        zeros = np.zeros(popular.shape, dtype=np.float32)
        ranked = Ranked(every, nothing, new, nothing, popular, zeros)
        plain = fill_slots(ranked, k, 0)
        return Predictions(plain, plain, new)


def popularity_of(shop: TrainingData, popular_days: int) -> Doubles:
    """Return [n_items] how popular each item is at the shop's cut-off."""
    n_items = len(shop.vocabulary)
    state = compute_item_state(shop.histories, n_items, shop.cutoff, popular_days=popular_days)
    return state.popularity


def lists_by_score(
    score: Callable[[Requests], Doubles], popular: Doubles
) -> Callable[[EvaluationSet, int], tuple[Lists, Lists]]:
    """Return lists by falling score; equal scores as everywhere: recent, then popular, then by id.

    Args:
        score: From requests to [n, n_items]; 0 or less is not recommended.
        popular: [n_items].
    """

    def lists(questions: EvaluationSet, k: int) -> tuple[Lists, Lists]:
        every, new = [], []
        for part in in_parts(questions.requests):
            scores = score(part).astype(np.float64)
            scores[:, 0] = 0.0
            row = np.repeat(np.arange(len(part)), np.diff(part.row_splits))
            every.append(best(scores, k, popular, baskets_ago(part, len(popular))))
            scores[row, part.item] = 0.0
            new.append(best(scores, k, popular))
        return np.concatenate(every), np.concatenate(new)

    return lists


def in_parts(requests: Requests) -> Iterator[Requests]:
    """Yield PART requests at a time."""
    for start in range(0, len(requests), PART):
        yield requests.part(start, min(start + PART, len(requests)))


def baskets_ago(requests: Requests, n_items: int) -> Lists:
    """Return [n, n_items] how many baskets ago each item was bought last, NEVER if it was not."""
    row = np.repeat(np.arange(len(requests)), np.diff(requests.row_splits))
    found = np.full((len(requests), n_items), NEVER, dtype=np.int32)
    np.minimum.at(found, (row, requests.item), requests.baskets_ago)
    return found


def best(scores: Doubles, k: int, popular: Doubles, ago: Lists | None = None) -> Lists:
    """Return [n, k] the columns with the best positive scores, 0 where there are no more.

    Equal scores: the lowest of `ago` first, then the most popular, then the lowest column.

    >>> best(np.array([[0.0, 1.0, 3.0, 1.0]]), 3, np.array([0.0, 5.0, 5.0, 6.0])).tolist()
    [[2, 3, 1]]
    """
    k = min(k, scores.shape[1])
    least = np.maximum(np.partition(scores, -k, axis=1)[:, -k], np.nextafter(0.0, 1.0))
    row, column = np.nonzero(scores >= least[:, np.newaxis])
    since = np.zeros(len(row)) if ago is None else ago[row, column]
    order = np.lexsort((column, -popular[column], since, -scores[row, column], row))
    row, column = row[order], column[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    found = np.zeros((len(scores), k), dtype=np.int32)
    found[row[rank < k], rank[rank < k]] = column[rank < k]
    return found


def counts_of(lines: Requests | Histories, n_items: int) -> sparse.csr_matrix:
    """Return [n, n_items] how many baskets of each request or user hold each item."""
    n = len(lines.row_splits) - 1
    row = np.repeat(np.arange(n), np.diff(lines.row_splits))
    ones = np.ones(len(lines.item), dtype=np.float32)
    return sparse.csr_matrix((ones, (row, lines.item)), shape=(n, n_items))


def baskets_of(requests: Requests, row: int) -> list[npt.NDArray[np.int32]]:
    """Return the baskets of one request's history, the earliest first, as item indices."""
    lines = slice(*requests.row_splits[row : row + 2].tolist())
    ago, item = requests.baskets_ago[lines], requests.item[lines]
    order = np.argsort(-ago, kind="stable")
    splits = np.flatnonzero(np.diff(ago[order])) + 1
    return np.split(item[order], splits) if len(item) else []

"""What a peer answers: lists from scores of the whole catalogue, in the form of our own answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from pipeline.recommenders.histories import Histories
from pipeline.recommenders.items import item_state
from pipeline.recommenders.recommender import Ranked, fill_slots
from pipeline.recommenders.requests import Requests
from pipeline.recommenders.shop import Shop
from pipeline.testing.measure import Answers, Questions

Doubles = npt.NDArray[np.float64]
Lists = npt.NDArray[np.int32]
PART = 128
TIE = 1e-9


@dataclass(frozen=True)
class Peer:
    """A method from another package.

    Attributes:
        popular: [n_items] what fills up lists, and breaks ties.
        lists: From questions and k to [n, k] item index: the best of all, and the best of what
            was not bought before; 0 = nothing.
    """

    popular: Doubles
    lists: Callable[[Questions, int], tuple[Lists, Lists]]

    def answer(self, questions: Questions, k: int) -> Answers:
        """Return its lists, filled up with what is popular."""
        every, new = self.lists(questions, k)
        nothing = np.zeros(every.shape, dtype=np.float32)
        order = np.argsort(-self.popular, kind="stable")[: 2 * k]
        popular = np.tile(order.astype(np.int32), (len(every), 1))
        zeros = np.zeros(popular.shape, dtype=np.float32)
        ranked = Ranked(every, nothing, new, nothing, popular, zeros)
        plain = fill_slots(ranked, k, 0)
        return Answers(plain, plain, new)


def popularity_of(shop: Shop, popular_days: int) -> Doubles:
    """Return [n_items] how popular each item is at the shop's cut-off."""
    n_items = len(shop.vocabulary)
    state = item_state(shop.histories, n_items, shop.cutoff, popular_days=popular_days)
    return state.popularity


def lists_by_score(
    score: Callable[[Requests], Doubles], popular: Doubles
) -> Callable[[Questions, int], tuple[Lists, Lists]]:
    """Return lists by falling score; popularity decides where scores are equal.

    Args:
        score: From requests to [n, n_items]; 0 or less is not recommended.
        popular: [n_items].
    """
    tie = popular / (popular.max() + 1.0)

    def lists(questions: Questions, k: int) -> tuple[Lists, Lists]:
        every, new = [], []
        for part in in_parts(questions.requests):
            scores = score(part).astype(np.float64)
            scores[:, 0] = 0.0
            scores += np.where(scores > 0, TIE * scores.max() * tie, 0.0)
            every.append(best(scores, k))
            row = np.repeat(np.arange(len(part)), np.diff(part.row_splits))
            scores[row, part.item] = 0.0
            new.append(best(scores, k))
        return np.concatenate(every), np.concatenate(new)

    return lists


def in_parts(requests: Requests) -> Iterator[Requests]:
    """Yield PART requests at a time."""
    for start in range(0, len(requests), PART):
        yield requests.part(start, min(start + PART, len(requests)))


def best(scores: Doubles, k: int) -> Lists:
    """Return [n, k] the columns with the best positive scores, 0 where there are no more.

    >>> best(np.array([[0.0, 1.0, 3.0, 0.0]]), 3).tolist()
    [[2, 1, 0]]
    """
    k = min(k, scores.shape[1])
    found = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(scores, found, axis=1)
    order = np.lexsort((found, -values), axis=1)
    found = np.take_along_axis(found, order, axis=1)
    return np.where(np.take_along_axis(values, order, axis=1) > 0, found, 0).astype(np.int32)


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

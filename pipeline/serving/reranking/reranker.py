"""From requests to shelves: the model's lists, long enough for the rules, and what is chosen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.recommenders.base.recommender import Explanations, Ranked, Why
from pipeline.serving.reranking.exploration import Sampling, draws_of
from pipeline.serving.reranking.rules import Choice, ItemSelector, RerankingRules, SelectedItems

SLACK = 4
LONGER = 4
DIVERSE_TIMES = 2
LONGEST_TIMES = 8

# From how long the model's lists may be to the lists, and what explains them if that is wanted.
Rank = Callable[[int], tuple[Ranked, Why | None]]


@dataclass(frozen=True)
class RerankedLists:
    """What is shown.

    Attributes:
        chosen: [n] per request its items in order.
        scores: [n] their scores.
        why: Explains them, None when that was not asked for.
    """

    chosen: list[list[Choice]]
    scores: list[list[float]]
    why: Why | None

    @cached_property
    def explanations(self) -> Explanations:
        """Of [n, k] items in that order; worked out when it is first looked at."""
        assert self.why is not None
        return self.why(_places(self.chosen))


@dataclass(frozen=True)
class Reranker:
    """Makes shelves of what the model ranks.

    Attributes:
        category: By item index; 0 is not known.
        sampling: How explore slots are drawn, None for the best.
        title: By item index, for `RerankingRules.distinct_titles`.
    """

    category: Sequence[int]
    sampling: Sampling | None
    title: Sequence[int] = ()

    def arrange(
        self, rank: Rank, rules: Sequence[RerankingRules], request_ids: Sequence[str]
    ) -> RerankedLists:
        """Return one shelf per request.

        The model is asked for lists a little longer than the shelf, and again for longer ones if a
        rule left too much out of them.

        Args:
            rank: Asks the model about n requests.
            rules: [n].
            request_ids: [n] what chance is drawn from.
        """
        first = max(first_width(each, self.sampling) for each in rules)
        width = first
        while True:
            ranked, why = rank(width)
            items, scores = _lists(ranked)
            shelves = [
                self._chosen(*row) for row in zip(items, scores, rules, request_ids, strict=True)
            ]
            if width >= len(self.category) or not _go_on(shelves, width, first):
                break
            width *= LONGER
        chosen = [shelf.chosen for shelf in shelves]
        kept = [
            [row[choice.place] for choice in shelf]
            for row, shelf in zip(scores, chosen, strict=True)
        ]
        return RerankedLists(chosen, kept, why)

    def _chosen(
        self, items: list[int], scores: list[float], rules: RerankingRules, request_id: str
    ) -> SelectedItems:
        draw = None if self.sampling is None else draws_of(request_id)
        chooser = ItemSelector(items, scores, rules, self.category, self.title)
        return chooser.choose(self.sampling, draw)


def first_width(rules: RerankingRules, sampling: Sampling | None) -> int:
    """Return how long the lists should be at first.

    >>> first_width(RerankingRules(10, 2), None)
    10
    >>> first_width(RerankingRules(10, 2, diversity=0.5), None)
    20
    >>> first_width(RerankingRules(10, 2, blocked={1, 2}), Sampling(1.0, n_candidates=50))
    52
    """
    alike = rules.distinct_titles == "all" or (rules.is_new and rules.distinct_titles != "off")
    width = rules.k * (DIVERSE_TIMES if rules.diversity > 0 or alike else 1)
    if sampling is not None and rules.explore_slots:
        width = max(width, sampling.n_candidates)
    return width + min(len(rules.blocked), SLACK)


def _go_on(shelves: Sequence[SelectedItems], width: int, first: int) -> bool:
    if any(shelf.needs_longer for shelf in shelves):
        return True
    return width < LONGEST_TIMES * first and any(shelf.likes_longer for shelf in shelves)


def _lists(ranked: Ranked) -> tuple[list[list[int]], list[list[float]]]:
    """Return the three lists of each request side by side: items, and scores."""
    items = (ranked.repeat_items, ranked.explore_items, ranked.popular_items)
    scores = (ranked.repeat_scores, ranked.explore_scores, ranked.popular_scores)
    return np.concatenate(items, axis=1).tolist(), np.concatenate(scores, axis=1).tolist()


def _places(chosen: Sequence[Sequence[Choice]]) -> "np.typing.NDArray[np.intp]":
    places = np.full((len(chosen), max(map(len, chosen))), -1, dtype=np.intp)
    for row, shelf in enumerate(chosen):
        places[row, : len(shelf)] = [choice.place for choice in shelf]
    return places

"""Reranker: gets ranked lists from the model, as long as the rules need, and selects the items."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.recommenders.base.recommender import Explanations, Ranked, Why
from pipeline.serving.reranking.exploration import Sampling, build_random
from pipeline.serving.reranking.rules import Choice, ItemSelector, RerankingRules, SelectedItems

MAXIMUM_SLACK = 4  # extra width for blocked items, at most
WIDENING_FACTOR = 4  # from one width to the next
DIVERSE_FACTOR = 2  # of k: initial width if a rule on categories or titles applies
MAXIMUM_FACTOR = 8  # of the initial width: no wider for the sake of diversity alone

# From a width to ranked lists of at most that length, and their explanation if it is wanted.
Rank = Callable[[int], tuple[Ranked, Why | None]]


@dataclass(frozen=True)
class RerankedLists:
    """The selected items of n requests.

    Attributes:
        chosen: [n] selected items of each request, in order.
        scores: [n] their scores.
        why: Explains the ranked lists; None if no explanation is wanted.
    """

    chosen: list[list[Choice]]
    scores: list[list[float]]
    why: Why | None

    @cached_property
    def explanations(self) -> Explanations:
        """Explanations of the [n, k] selected items, computed on first use."""
        assert self.why is not None
        return self.why(_positions(self.chosen))


@dataclass(frozen=True)
class Reranker:
    """Selects items from the model's ranked lists.

    Attributes:
        category: [n_items + 1] category code by item index; 0 is unknown.
        sampling: How explore slots are drawn; None takes the top items.
        title: [n_items + 1] title code by item index, for `RerankingRules.distinct_titles`.
    """

    category: Sequence[int]
    sampling: Sampling | None
    title: Sequence[int] = ()

    def rerank(
        self, rank: Rank, rules: Sequence[RerankingRules], request_ids: Sequence[str]
    ) -> RerankedLists:
        """Return the selected items of each request.

        The model ranks lists a little longer than k, and longer ones if the rules leave out too
        many items.

        Args:
            rank: Ranks n requests with the model.
            rules: [n] rules.
            request_ids: [n] seeds of exploration.
        """
        first = max(initial_width(rule, self.sampling) for rule in rules)
        width = first
        while True:
            ranked, why = rank(width)
            items, scores = _concatenate_lists(ranked)
            selected = [
                self._select(*row) for row in zip(items, scores, rules, request_ids, strict=True)
            ]
            if width >= len(self.category) or not _needs_wider_lists(selected, width, first):
                break
            width *= WIDENING_FACTOR
        chosen = [selection.chosen for selection in selected]
        chosen_scores = [
            [row[choice.position] for choice in choices]
            for row, choices in zip(scores, chosen, strict=True)
        ]
        return RerankedLists(chosen, chosen_scores, why)

    def _select(
        self, items: list[int], scores: list[float], rules: RerankingRules, request_id: str
    ) -> SelectedItems:
        random = None if self.sampling is None else build_random(request_id)
        selector = ItemSelector(items, scores, rules, self.category, self.title)
        return selector.select(self.sampling, random)


def initial_width(rules: RerankingRules, sampling: Sampling | None) -> int:
    """Return the width of the first ranked lists.

    >>> initial_width(RerankingRules(10, 2), None)
    10
    >>> initial_width(RerankingRules(10, 2, diversity=0.5), None)
    20
    >>> initial_width(RerankingRules(10, 2, blocked={1, 2}), Sampling(1.0, n_candidates=50))
    52
    """
    distinct = rules.distinct_titles == "all" or (rules.is_new and rules.distinct_titles != "off")
    width = rules.k * (DIVERSE_FACTOR if rules.diversity > 0 or distinct else 1)
    if sampling is not None and rules.explore_slots:
        width = max(width, sampling.n_candidates)
    return width + min(len(rules.blocked), MAXIMUM_SLACK)


def _needs_wider_lists(selected: Sequence[SelectedItems], width: int, first: int) -> bool:
    if any(selection.needs_longer for selection in selected):
        return True
    return width < MAXIMUM_FACTOR * first and any(selection.likes_longer for selection in selected)


def _concatenate_lists(ranked: Ranked) -> tuple[list[list[int]], list[list[float]]]:
    """Return items and scores [n, 3 * width]: the three lists of each request, concatenated."""
    items = (ranked.repeat_items, ranked.explore_items, ranked.popular_items)
    scores = (ranked.repeat_scores, ranked.explore_scores, ranked.popular_scores)
    return np.concatenate(items, axis=1).tolist(), np.concatenate(scores, axis=1).tolist()


def _positions(chosen: Sequence[Sequence[Choice]]) -> "np.typing.NDArray[np.intp]":
    """Return [n, k] positions of the selected items, -1 behind the end of a list."""
    positions = np.full((len(chosen), max(map(len, chosen))), -1, dtype=np.intp)
    for row, choices in enumerate(chosen):
        positions[row, : len(choices)] = [choice.position for choice in choices]
    return positions

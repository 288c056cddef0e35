"""Reranking rules: select k items from the model's three ranked lists.

The lists hold repeat items (bought before), explore items (never bought) and popular items. They
fill the k places in the order of `recommender.fill_slots`, subject to these rules:

- Blocked items are left out: they are unavailable, or the request excludes them.
- One category gets at most `per_category` places, as long as other items are left.
- Of never-bought items with the same title, only the first is selected, as long as others are left.
- The explore slots may be drawn at random, see `exploration`.

If a list ends before the k places are full, the result says so, and the model ranks longer lists:
an answer is shorter than k only if no other item is left.
"""

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from random import Random
from typing import Literal, NamedTuple

from pipeline.serving.reranking.exploration import Sampling, draw_index, sampling_weights

REPEAT, EXPLORE, POPULAR = range(3)  # the order of recommender.SLOTS
NO_CATEGORY = NO_TITLE = 0

Distinct = Literal["off", "newcomers", "all"]


@dataclass(frozen=True, slots=True)
class RerankingRules:
    """The rules for one request.

    Attributes:
        k: Number of items.
        explore_slots: How many of the k are for items never bought before.
        blocked: Item indices to leave out.
        diversity: In [0, 1]: at 0 one category may have all k places, at 1 only one; see
            `per_category`.
        distinct_titles: For whom a never-bought item must not repeat the title of an item above it;
            newcomers are users without repeat items to show.
        is_new: Whether the user has bought nothing, so that popular items come first.
    """

    k: int
    explore_slots: int
    blocked: AbstractSet[int] = frozenset()
    diversity: float = 0.0
    distinct_titles: Distinct = "off"
    is_new: bool = False

    @property
    def per_category(self) -> int:
        """Maximum number of items of one category.

        >>> [RerankingRules(10, 2, diversity=d).per_category for d in (0.0, 0.5, 0.7, 0.75, 1.0)]
        [10, 5, 3, 3, 1]
        """
        # Without rounding, 1 - 0.7 is a little more than 0.3.
        maximum = round((1.0 - self.diversity) * self.k, ndigits=6)
        return max(math.ceil(maximum), 1)


class Choice(NamedTuple):
    """A selected item, its position in the concatenated lists, its list and its propensity."""

    item: int
    position: int
    slot: int
    propensity: float


@dataclass(slots=True)
class SelectedItems:
    """The items selected so far.

    Attributes:
        chosen: Selected items, in order.
        needs_longer: A list ended at its width before k items were selected.
        likes_longer: A list ended at its width before there were enough categories or candidates.
    """

    chosen: list[Choice] = field(default_factory=list)
    needs_longer: bool = False
    likes_longer: bool = False


@dataclass(slots=True)
class ItemSelector:
    """Selects items from the ranked lists of one request.

    Attributes:
        items: [3 * width] item indices of the concatenated lists, each padded with 0.
        scores: [3 * width] their scores.
        rules: Rules of this request.
        category: [n_items + 1] category code by item index; 0 is unknown and not limited.
        title: [n_items + 1] title code by item index, equal for equal titles; 0 is unknown.
    """

    items: Sequence[int]
    scores: Sequence[float]
    rules: RerankingRules
    category: Sequence[int]
    title: Sequence[int] = ()
    _distinct: bool = False
    _selected: SelectedItems = field(default_factory=SelectedItems)
    _taken: set[int] = field(default_factory=set)
    _count: dict[int, int] = field(default_factory=dict)
    _titles: set[int] = field(default_factory=set)

    def select(self, sampling: Sampling | None, random: Random | None) -> SelectedItems:
        """Return the selected items; `random` is required with `sampling`."""
        steps = self._steps()
        limit = self.rules.per_category
        for slot, n in steps:
            n_drawn = 0
            if slot == EXPLORE and sampling is not None and random is not None:
                n_drawn = self._draw(min(n, self.rules.explore_slots), limit, sampling, random)
                sampling = None
            self._take(slot, n - n_drawn, limit)
        if self._has_soft_rules(limit) and self._n_missing():
            self._distinct = False
            for slot, n in steps:
                self._take(slot, n, self.rules.k)
        return self._selected

    def _has_soft_rules(self, limit: int) -> bool:
        """Return whether a rule applies that yields if places would stay empty."""
        return limit < self.rules.k or self._distinct

    def _steps(self) -> tuple[tuple[int, int], ...]:
        """Return which list supplies how many items, in order; see `recommender.fill_slots`."""
        k, explore = self.rules.k, self.rules.explore_slots
        has_repeats = self._has_repeats()
        scope = self.rules.distinct_titles
        self._distinct = scope == "all" or (scope == "newcomers" and not has_repeats)
        if has_repeats:
            first = (REPEAT, k - explore), (EXPLORE, explore)
            return (*first, (REPEAT, k), (EXPLORE, k), (POPULAR, k))
        return (POPULAR, k - explore), (EXPLORE, k), (POPULAR, k), (REPEAT, k)

    def _has_repeats(self) -> bool:
        repeats = self._list(REPEAT)
        has_repeats = any(self.items[index] not in self.rules.blocked for index in repeats)
        if not has_repeats and len(repeats) == self._width:
            self._selected.needs_longer = True
        return has_repeats

    @property
    def _width(self) -> int:
        return len(self.items) // 3

    def _list(self, slot: int) -> range:
        """Return the positions of a list's items, without padding."""
        start, stop = slot * self._width, (slot + 1) * self._width
        while stop > start and self.items[stop - 1] == 0:
            stop -= 1
        return range(start, stop)

    def _n_missing(self) -> int:
        return self.rules.k - len(self._selected.chosen)

    def _is_allowed(self, position: int, limit: int) -> bool:
        item = self.items[position]
        if item in self._taken or item in self.rules.blocked:
            return False
        if self._distinct and position >= self._width and self.title[item] in self._titles:
            return False
        category = self.category[item]
        return category == NO_CATEGORY or self._count.get(category, 0) < limit

    def _add(self, position: int, propensity: float) -> None:
        item = self.items[position]
        category = self.category[item]
        self._taken.add(item)
        if self._distinct and self.title[item] != NO_TITLE:
            self._titles.add(self.title[item])
        self._count[category] = self._count.get(category, 0) + 1
        self._selected.chosen.append(Choice(item, position, position // self._width, propensity))

    def _take(self, slot: int, n: int, limit: int) -> None:
        """Select the next `n` allowed items of a list, at most the number of missing items."""
        wanted = len(self._selected.chosen) + min(n, self._n_missing())
        positions = self._list(slot)
        for position in positions:
            if len(self._selected.chosen) >= wanted:
                return
            if self._is_allowed(position, limit):
                self._add(position, 1.0)
        if len(self._selected.chosen) < wanted and len(positions) == self._width:
            if self._has_soft_rules(limit):
                self._selected.likes_longer = True
            else:
                self._selected.needs_longer = True

    def _draw(self, n: int, limit: int, sampling: Sampling, random: Random) -> int:
        """Draw `n` explore items, at most the number of missing items; return the number drawn."""
        positions = self._list(EXPLORE)
        allowed = [position for position in positions if self._is_allowed(position, limit)]
        candidates = allowed[: sampling.n_candidates]
        if len(candidates) < sampling.n_candidates and len(positions) == self._width:
            self._selected.likes_longer = True
        if not candidates:
            return 0
        scores = [self.scores[position] for position in candidates]
        weight = dict(zip(candidates, sampling_weights(scores, sampling.temperature), strict=True))
        wanted = min(n, self._n_missing())
        for n_drawn in range(wanted):
            candidates = [position for position in candidates if self._is_allowed(position, limit)]
            if not candidates:
                return n_drawn
            index, probability = draw_index([weight[position] for position in candidates], random)
            self._add(candidates[index], probability)
        return wanted

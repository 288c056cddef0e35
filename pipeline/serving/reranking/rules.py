"""Which of the ranked items come on a shelf of k: what is left out, how alike they may be, chance.

Three lists come from the model: what the shopper bought before, what they did not, what is popular.
The order in which they fill the shelf is that of `recommender.fill_slots`. On top of it:

- A blocked item never comes: it is out of stock, or the request leaves it out.
- At most so many items of one category come, as long as others are left.
- Of items that read the same, one comes among those never bought, as long as others are left.
- The explore slots may be drawn by chance, see `exploring`.

A list that ends before the shelf is full says so, and the model is asked for longer ones: the shelf
is only shorter than k when there is nothing else to show.
"""

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from random import Random
from typing import Literal, NamedTuple

from pipeline.serving.reranking.exploration import Sampling, drawn, weights

REPEAT, EXPLORE, POPULAR = range(3)  # the order of recommender.SLOTS
NO_CATEGORY = NO_TITLE = 0

Distinct = Literal["off", "newcomers", "all"]


@dataclass(frozen=True, slots=True)
class RerankingRules:
    """What one shelf must keep to.

    Attributes:
        k: How many items.
        explore_slots: How many of them are for items never bought before.
        blocked: Item indices that must not come.
        diversity: 0 lets a category fill the shelf, 1 lets it have one item; see `per_category`.
        distinct_titles: On whose shelves an item never bought must not read like one above it:
            newcomers are those who bought nothing that could be shown again.
        is_new: Whether the shopper bought nothing at all, so that popular items will be chosen.
    """

    k: int
    explore_slots: int
    blocked: AbstractSet[int] = frozenset()
    diversity: float = 0.0
    distinct_titles: Distinct = "off"
    is_new: bool = False

    @property
    def per_category(self) -> int:
        """How many items one category may have.

        >>> [RerankingRules(10, 2, diversity=d).per_category for d in (0.0, 0.5, 0.7, 0.75, 1.0)]
        [10, 5, 3, 3, 1]
        """
        some = round((1.0 - self.diversity) * self.k, ndigits=6)  # 1 - .7 is a little more than .3
        return max(math.ceil(some), 1)


class Choice(NamedTuple):
    """One item of a shelf: where it stands in the lists side by side, and how likely it was."""

    item: int
    place: int
    slot: int
    propensity: float


@dataclass(slots=True)
class SelectedItems:
    """A shelf in the making.

    Attributes:
        chosen: So far, in order.
        needs_longer: A list was cut before the shelf was full.
        likes_longer: A list was cut before there were enough categories, or items to draw from.
    """

    chosen: list[Choice] = field(default_factory=list)
    needs_longer: bool = False
    likes_longer: bool = False


@dataclass(slots=True)
class ItemSelector:
    """Chooses from the lists of one request.

    Attributes:
        items: [3 * width] the lists side by side, each with 0 behind its end.
        scores: [3 * width].
        rules: Of this shelf.
        category: By item index; 0 is not known and not limited.
        title: By item index a number that items share which read the same; 0 is not known.
    """

    items: Sequence[int]
    scores: Sequence[float]
    rules: RerankingRules
    category: Sequence[int]
    title: Sequence[int] = ()
    _distinct: bool = False
    _shelf: SelectedItems = field(default_factory=SelectedItems)
    _taken: set[int] = field(default_factory=set)
    _count: dict[int, int] = field(default_factory=dict)
    _titles: set[int] = field(default_factory=set)

    def choose(self, sampling: Sampling | None, draw: Random | None) -> SelectedItems:
        """Return the shelf; `draw` is needed with `sampling` only."""
        steps = self._steps()
        limit = self.rules.per_category
        for slot, n in steps:
            n_drawn = 0
            if slot == EXPLORE and sampling is not None and draw is not None:
                n_drawn = self._draw(min(n, self.rules.explore_slots), limit, sampling, draw)
                sampling = None
            self._take(slot, n - n_drawn, limit)
        if self._may_give_way(limit) and self._missing():
            self._distinct = False
            for slot, n in steps:
                self._take(slot, n, self.rules.k)
        return self._shelf

    def _may_give_way(self, limit: int) -> bool:
        """Tell whether a rule left out what is better than an empty place."""
        return limit < self.rules.k or self._distinct

    def _steps(self) -> tuple[tuple[int, int], ...]:
        """Return from which list to take how many, in order; see `recommender.fill_slots`."""
        k, explore = self.rules.k, self.rules.explore_slots
        has_repeats = self._has_repeats()
        wanted = self.rules.distinct_titles
        self._distinct = wanted == "all" or (wanted == "newcomers" and not has_repeats)
        if has_repeats:
            first = (REPEAT, k - explore), (EXPLORE, explore)
            return (*first, (REPEAT, k), (EXPLORE, k), (POPULAR, k))
        return (POPULAR, k - explore), (EXPLORE, k), (POPULAR, k), (REPEAT, k)

    def _has_repeats(self) -> bool:
        repeats = self._list(REPEAT)
        found = any(self.items[place] not in self.rules.blocked for place in repeats)
        if not found and len(repeats) == self._width:
            self._shelf.needs_longer = True
        return found

    @property
    def _width(self) -> int:
        return len(self.items) // 3

    def _list(self, slot: int) -> range:
        """Return the places of a list that hold an item."""
        start, stop = slot * self._width, (slot + 1) * self._width
        while stop > start and self.items[stop - 1] == 0:
            stop -= 1
        return range(start, stop)

    def _missing(self) -> int:
        return self.rules.k - len(self._shelf.chosen)

    def _is_free(self, place: int, limit: int) -> bool:
        item = self.items[place]
        if item in self._taken or item in self.rules.blocked:
            return False
        if self._distinct and place >= self._width and self.title[item] in self._titles:
            return False
        category = self.category[item]
        return category == NO_CATEGORY or self._count.get(category, 0) < limit

    def _put(self, place: int, propensity: float) -> None:
        item = self.items[place]
        category = self.category[item]
        self._taken.add(item)
        if self._distinct and self.title[item] != NO_TITLE:
            self._titles.add(self.title[item])
        self._count[category] = self._count.get(category, 0) + 1
        self._shelf.chosen.append(Choice(item, place, place // self._width, propensity))

    def _take(self, slot: int, n: int, limit: int) -> None:
        """Take the next `n` items of a list, or what is missing if that is less."""
        wanted = len(self._shelf.chosen) + min(n, self._missing())
        places = self._list(slot)
        for place in places:
            if len(self._shelf.chosen) >= wanted:
                return
            if self._is_free(place, limit):
                self._put(place, 1.0)
        if len(self._shelf.chosen) < wanted and len(places) == self._width:
            if self._may_give_way(limit):
                self._shelf.likes_longer = True
            else:
                self._shelf.needs_longer = True

    def _draw(self, n: int, limit: int, sampling: Sampling, draw: Random) -> int:
        """Draw `n` explore items, or what is missing if that is less; return how many it were."""
        places = self._list(EXPLORE)
        free = [place for place in places if self._is_free(place, limit)]
        candidates = free[: sampling.n_candidates]
        if len(candidates) < sampling.n_candidates and len(places) == self._width:
            self._shelf.likes_longer = True
        if not candidates:
            return 0
        scores = [self.scores[place] for place in candidates]
        weight = dict(zip(candidates, weights(scores, sampling.temperature), strict=True))
        wanted = min(n, self._missing())
        for n_drawn in range(wanted):
            candidates = [at for at in candidates if self._is_free(at, limit)]
            if not candidates:
                return n_drawn
            at, probability = drawn([weight[place] for place in candidates], draw)
            self._put(candidates[at], probability)
        return wanted

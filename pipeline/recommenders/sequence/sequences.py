"""Purchases as sequences: what each shopper bought, in order, cut into dense windows.

Design choices:

- The target of a line is an item of the shopper's *next* basket, drawn anew in each epoch: the
  order inside a basket means nothing. Where every basket is one item, as in film ratings, this is
  the usual next item.
- Histories are cut into windows from their end. Windows of about the same length are batched
  together and filled up on the right; a batch holds the same number of tokens whatever its width.
- Shapes are static but for a handful of widths, so the graph is traced once for each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.contracts.errors import TrainingError
from pipeline.recommenders.base.histories import Floats, Histories, Longs
from pipeline.recommenders.base.vocabulary import Ints

NARROWEST = 4


@dataclass(frozen=True)
class Sequences:
    """Every line of every shopper, ordered by shopper, then basket, then item.

    Attributes:
        code: [n_lines] code of the item, 0 = any item that has none of its own.
        next_start: [n_lines] where the shopper's next basket begins.
        next_count: [n_lines] how many lines it has; 0 after the last basket.
        window_start: [n_windows] where each window begins; only lines with a next basket are in.
        window_length: [n_windows].
    """

    code: Ints
    next_start: Longs
    next_count: Longs
    window_start: Longs
    window_length: Longs

    @property
    def n_tokens(self) -> int:
        """How many lines are learned from in an epoch."""
        return int(self.window_length.sum())

    @cached_property
    def item_counts(self) -> Longs:
        """How often each code was bought: [n_codes]."""
        return np.bincount(self.code)


def item_codes(histories: Histories, n_items: int, until: float, maximum: int) -> Ints:
    """Return [n_items] a code from 1 for the items bought most before `until`, 0 for the rest."""
    counts = np.bincount(histories.item[histories.time < until], minlength=n_items)
    order = np.lexsort((np.arange(n_items), -counts))
    chosen = np.sort(order[counts[order] > 0][:maximum])
    codes = np.zeros(n_items, dtype=np.int32)
    codes[chosen] = np.arange(1, len(chosen) + 1)
    return codes


def sequences_of(histories: Histories, codes: Ints, until: float, max_length: int) -> Sequences:
    """Return what was bought before `until` as sequences.

    Args:
        histories: All purchases.
        codes: [n_items] code of each item.
        until: Seconds since 1970; nothing from then on is used.
        max_length: Of a window.

    Raises:
        TrainingError: No shopper has two baskets.
    """
    known = histories.time < until
    user = np.repeat(np.arange(len(histories.user_ids)), np.diff(histories.row_splits))[known]
    item, basket = histories.item[known], histories.basket[known]
    order = np.lexsort((item, basket, user))
    user, basket, code = user[order], basket[order], codes[item[order]]
    start = np.flatnonzero(np.diff(user, prepend=-1) | np.diff(basket, prepend=-1))
    size = np.diff(start, append=len(user))
    follows = np.append(user[start][1:] == user[start][:-1], False)[: len(start)]
    own = np.repeat(np.arange(len(start)), size)
    next_start = np.append(start[1:], 0)[: len(start)][own]
    next_count = (np.append(size[1:], 0)[: len(start)] * follows)[own]
    window_start, window_length = _windows(user[next_count > 0], max_length)
    if not len(window_start):
        raise TrainingError(
            "users with two baskets or more before the validation window",
            received=f"{len(np.unique(user))} shoppers with at most one",
            action="Give more history, or leave families that learn from sequences out.",
        )
    line = np.flatnonzero(next_count > 0)
    return Sequences(code, next_start, next_count, line[window_start], window_length)


def _windows(user: Longs, max_length: int) -> tuple[Longs, Longs]:
    """Return start and length of windows that cut each user's lines from their end."""
    first = np.flatnonzero(np.diff(user, prepend=-1))
    length = np.diff(first, append=len(user))
    n_windows = -(-length // max_length)
    own = np.repeat(np.arange(len(first)), n_windows)
    number = np.arange(len(own)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
    ends = first[own] + length[own] - number * max_length
    starts = np.maximum(ends - max_length, first[own])
    return starts, ends - starts


@dataclass(frozen=True)
class WindowBatches:
    """Batches of windows of about the same length.

    Attributes:
        sequences: To cut from.
        max_length: Of a window.
        batch_size: Windows of that length in a batch; of shorter ones there are more.
    """

    sequences: Sequences
    max_length: int
    batch_size: int

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """The widths that batches may have, ascending: each two thirds of the next, rounded up."""
        found = [self.max_length]
        while found[-1] > NARROWEST:
            found.append(-(-found[-1] * 2 // 3))
        return tuple(reversed(found))

    @cached_property
    def _buckets(self) -> list[Longs]:
        """Return the windows of each width; those that fill no batch go to the next width."""
        bucket = np.searchsorted(self.widths, self.sequences.window_length)
        found, few = [], np.array([], dtype=np.int64)
        for at, width in enumerate(self.widths):
            own = np.concatenate([few, np.flatnonzero(bucket == at)])
            is_few = len(own) < self.rows(width) and width < self.max_length
            few = own if is_few else own[:0]
            found.append(own[:0] if is_few else own)
        return found

    def rows(self, width: int) -> int:
        """Return how many windows a batch of this width has."""
        return max(1, self.batch_size * self.max_length // width)

    @cached_property
    def n_batches(self) -> int:
        """How many batches an epoch has."""
        pairs = zip(self.widths, self._buckets, strict=True)
        return sum(-(-len(bucket) // self.rows(width)) for width, bucket in pairs)

    @cached_property
    def n_cells(self) -> int:
        """How many cells the batches of an epoch have, those that are filled up included."""
        pairs = zip(self.widths, self._buckets, strict=True)
        return sum(
            -(-len(bucket) // self.rows(width)) * self.rows(width) * width
            for width, bucket in pairs
        )

    def batches(self, random: np.random.Generator) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Yield codes, target codes and weights of an epoch, each [n_windows, width].

        A weight is 0 where a window is filled up, or where the target has no code of its own.
        """
        sequences = self.sequences
        drawn = (random.random(len(sequences.code)) * sequences.next_count).astype(np.int64)
        target = sequences.code[np.where(sequences.next_count > 0, sequences.next_start + drawn, 0)]
        parts = []
        for width, bucket in zip(self.widths, self._buckets, strict=True):
            order, rows = random.permutation(bucket), self.rows(width)
            parts += [(width, order[s : s + rows]) for s in range(0, len(order), rows)]
        for at in random.permutation(len(parts)):
            width, chosen = parts[at]
            yield self._dense(width, chosen, target)

    def _dense(self, width: int, chosen: Longs, target: Ints) -> tuple[Ints, Ints, Floats]:
        n_missing = self.rows(width) - len(chosen)
        start = np.pad(self.sequences.window_start[chosen], (0, n_missing))
        length = np.pad(self.sequences.window_length[chosen], (0, n_missing))
        column = np.arange(width)
        inside = column < length[:, None]
        at = np.where(inside, start[:, None] + column, 0)
        codes = np.where(inside, self.sequences.code[at], 0)
        targets = np.where(inside, target[at], 0)
        return codes, targets, (targets > 0).astype(np.float32)

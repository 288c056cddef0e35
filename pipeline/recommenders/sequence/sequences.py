"""Purchase sequences of users, cut into dense windows.

Design choices:

- The target of a line is a random item of the user's *next* basket, redrawn in each epoch, because
  a basket has no order. If every basket has one item, as in film ratings, it is the next item.
- Histories are cut into windows from their end. Windows of similar length share a batch and are
  padded on the right; every batch holds the same number of tokens.
- Batches have few distinct widths, so the graph is traced only a few times.
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
    """Lines of all users, ordered by user, then basket, then item.

    Attributes:
        code: [n_lines] item code, 0 for items without a vector.
        next_start: [n_lines] first line of the user's next basket.
        next_count: [n_lines] lines of the next basket, 0 after the last basket.
        window_start: [n_windows] first line of each window; windows hold lines with a next basket.
        window_length: [n_windows] lines of each window.
    """

    code: Ints
    next_start: Longs
    next_count: Longs
    window_start: Longs
    window_length: Longs

    @property
    def n_tokens(self) -> int:
        """Number of lines per epoch."""
        return int(self.window_length.sum())

    @cached_property
    def item_counts(self) -> Longs:
        """[n_codes] purchases of each code."""
        return np.bincount(self.code)


def assign_codes(histories: Histories, n_items: int, until: float, maximum: int) -> Ints:
    """Return [n_items] codes from 1 for the items bought most before `until`, 0 for the rest."""
    counts = np.bincount(histories.item[histories.time < until], minlength=n_items)
    order = np.lexsort((np.arange(n_items), -counts))
    chosen = np.sort(order[counts[order] > 0][:maximum])
    codes = np.zeros(n_items, dtype=np.int32)
    codes[chosen] = np.arange(1, len(chosen) + 1)
    return codes


def build_sequences(histories: Histories, codes: Ints, until: float, max_length: int) -> Sequences:
    """Return the sequences of purchases before `until`.

    Args:
        histories: All purchases.
        codes: [n_items] code of each item.
        until: Seconds since 1970, exclusive.
        max_length: Maximum lines of a window.

    Raises:
        TrainingError: No user has two baskets.
    """
    known = histories.time < until
    user = np.repeat(np.arange(len(histories.user_ids)), np.diff(histories.row_splits))[known]
    item, basket = histories.item[known], histories.basket[known]
    order = np.lexsort((item, basket, user))
    user, basket, code = user[order], basket[order], codes[item[order]]
    start = np.flatnonzero(np.diff(user, prepend=-1) | np.diff(basket, prepend=-1))
    size = np.diff(start, append=len(user))
    follows = np.append(user[start][1:] == user[start][:-1], False)[: len(start)]
    basket_of_line = np.repeat(np.arange(len(start)), size)
    next_start = np.append(start[1:], 0)[: len(start)][basket_of_line]
    next_count = (np.append(size[1:], 0)[: len(start)] * follows)[basket_of_line]
    window_start, window_length = _windows(user[next_count > 0], max_length)
    if not len(window_start):
        raise TrainingError(
            "users with two baskets or more before the validation window",
            received=f"{len(np.unique(user))} users with at most one",
            action="Give more history, or leave families that learn from sequences out.",
        )
    line = np.flatnonzero(next_count > 0)
    return Sequences(code, next_start, next_count, line[window_start], window_length)


def _windows(user: Longs, max_length: int) -> tuple[Longs, Longs]:
    """Return start and length of the windows, cut from the end of each user's lines."""
    first = np.flatnonzero(np.diff(user, prepend=-1))
    length = np.diff(first, append=len(user))
    n_windows = -(-length // max_length)
    history = np.repeat(np.arange(len(first)), n_windows)
    number = np.arange(len(history)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
    ends = first[history] + length[history] - number * max_length
    starts = np.maximum(ends - max_length, first[history])
    return starts, ends - starts


@dataclass(frozen=True)
class WindowBatches:
    """Batches of windows of similar length.

    Attributes:
        sequences: Source of the windows.
        max_length: Maximum lines of a window.
        batch_size: Windows of maximum length per batch; shorter windows come in larger batches.
    """

    sequences: Sequences
    max_length: int
    batch_size: int

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Widths of batches, ascending; each is two thirds of the next, rounded up."""
        widths = [self.max_length]
        while widths[-1] > NARROWEST:
            widths.append(-(-widths[-1] * 2 // 3))
        return tuple(reversed(widths))

    @cached_property
    def _buckets(self) -> list[Longs]:
        """Windows of each width; those that fill no batch move to the next width."""
        bucket = np.searchsorted(self.widths, self.sequences.window_length)
        buckets, few = [], np.array([], dtype=np.int64)
        for at, width in enumerate(self.widths):
            members = np.concatenate([few, np.flatnonzero(bucket == at)])
            is_few = len(members) < self.rows(width) and width < self.max_length
            few = members if is_few else members[:0]
            buckets.append(members[:0] if is_few else members)
        return buckets

    def rows(self, width: int) -> int:
        """Return the number of windows in a batch of this width."""
        return max(1, self.batch_size * self.max_length // width)

    @cached_property
    def n_batches(self) -> int:
        """Number of batches per epoch."""
        pairs = zip(self.widths, self._buckets, strict=True)
        return sum(-(-len(bucket) // self.rows(width)) for width, bucket in pairs)

    @cached_property
    def n_cells(self) -> int:
        """Number of cells per epoch, padding included."""
        pairs = zip(self.widths, self._buckets, strict=True)
        return sum(
            -(-len(bucket) // self.rows(width)) * self.rows(width) * width
            for width, bucket in pairs
        )

    def batches(self, random: np.random.Generator) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Yield codes, target codes and weights of an epoch, each [n_windows, width].

        A weight is 0 for padding and for targets without a vector.
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

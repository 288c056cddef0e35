"""The ledger as the loop holds it: the entries so far, and the ways to add one."""

from pathlib import Path
from typing import Any

from pipeline.contracts.repairs import Repair
from pipeline.lifecycle.errors import LoopError
from pipeline.lifecycle.ledger.entries import (
    Assessment,
    Attempt,
    LedgerEntry,
    Transition,
    collect_tried,
    group_attempts,
    read_episode,
)
from pipeline.lifecycle.ledger.ledger_file import LEDGER, append_entry, open_ledger


class Journal:
    """The entries of the ledger; its owner holds the loop's lock."""

    def __init__(self, path: Path = LEDGER) -> None:
        """Read the ledger, and move a torn last line aside.

        Raises:
            LedgerError: The ledger is damaged, or of another version.
            StorageError: The torn line cannot be moved.
        """
        self.path = path
        self.entries = open_ledger(path)

    def add(self, entry: LedgerEntry) -> None:
        """Append an entry.

        Raises:
            StorageError: It cannot be written; the ledger is unchanged.
        """
        append_entry(entry, self.path)
        self.entries = (*self.entries, entry)

    def propose(self, repair: Repair, before: Assessment) -> Attempt:
        """Begin an attempt, and return it."""
        number = max((entry.attempt for entry in self.entries), default=0) + 1
        entry = LedgerEntry(attempt=number, transition="proposed", repair=repair, before=before)
        self.add(entry)
        return self.find(number)

    def advance(self, attempt: Attempt, transition: Transition, **values: Any) -> Attempt:
        """Append an entry to an attempt, and return the attempt with it."""
        self.add(LedgerEntry(attempt=attempt.number, transition=transition, **values))
        return self.find(attempt.number)

    def find(self, number: int) -> Attempt:
        """Return an attempt.

        Raises:
            LoopError: There is none with this number.
        """
        attempts = {attempt.number: attempt for attempt in group_attempts(self.entries)}
        if number in attempts:
            return attempts[number]
        raise LoopError(
            f"the number of an attempt in '{self.path}'",
            received=f"{number}; it has {len(attempts)} attempts",
            action="See `uv run python -m pipeline.lifecycle ledger`.",
        )

    @property
    def unfinished(self) -> Attempt | None:
        """The attempt to take up, or None."""
        attempts = group_attempts(self.entries)
        return next((attempt for attempt in attempts if attempt.is_unfinished), None)

    @property
    def episode(self) -> tuple[Attempt, ...]:
        """The attempts since the shop was last healthy."""
        return read_episode(self.entries)

    @property
    def tried(self) -> frozenset[str]:
        """The repairs not to try again; see `identify`."""
        return collect_tried(self.entries)

    def note_health(self) -> None:
        """End the episode, if repairs were tried in it."""
        if self.episode:
            self.add(LedgerEntry(attempt=0, transition="healthy"))

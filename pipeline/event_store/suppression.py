"""Who asked to be forgotten: a list that tells whether a given person is on it, and no more.

Design choices:

- Salted hashes, not ids: an id on the list would be the one thing that was to be removed. It is no
  secret from those who have the list *and* a person's id: they can ask whether it is on the list,
  which is what the list is for.
- Every entry carries its salt, so that lists of two databases can be joined. In practice there is
  one salt.
- Two places: the event store's database, where every running service looks, and a file in git, on
  which collection depends like on any other input.
"""

import csv
import hmac
import io
import re
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.contracts.errors import SourceError

SUPPRESSED_USERS = Path("data/suppressed/users.csv")
HEADER = ["salt", "user_hash"]
SALT_BYTES = 16


@dataclass(frozen=True, order=True, slots=True)
class Entry:
    """One forgotten person."""

    salt: str
    user_hash: str


class SuppressionList:
    """Forgotten people.

    >>> entry = entry_of("ann", "00" * 16)
    >>> "ann" in SuppressionList([entry]), "bob" in SuppressionList([entry])
    (True, False)
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """Take the entries in."""
        self.entries = frozenset(entries)
        self._hashes: dict[str, set[str]] = defaultdict(set)
        for entry in self.entries:
            self._hashes[entry.salt].add(entry.user_hash)

    def __contains__(self, user_id: str) -> bool:
        """Tell whether a person is on the list."""
        return any(
            entry_of(user_id, salt).user_hash in hashes for salt, hashes in self._hashes.items()
        )

    def __len__(self) -> int:
        """Return how many entries there are."""
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries in a fixed order."""
        return iter(sorted(self.entries))

    def of(self, user_ids: Iterable[str]) -> set[str]:
        """Return those of `user_ids` that are on the list."""
        return {user_id for user_id in user_ids if user_id in self} if self.entries else set()

    def salt(self) -> str:
        """Return the salt for new entries: the list's own, else a new one."""
        return min(self._hashes, default="") or secrets.token_hex(SALT_BYTES)


def entry_of(user_id: str, salt: str) -> Entry:
    """Return the entry of a person: HMAC-SHA256 of the id under the salt."""
    return Entry(salt, hmac.digest(bytes.fromhex(salt), user_id.encode(), "sha256").hex())


def read_suppressed(path: Path = SUPPRESSED_USERS) -> SuppressionList:
    """Return the list in the file; an empty one if there is no file.

    Raises:
        SourceError: It is damaged. Nobody is let through by a list that cannot be read.
    """
    if not path.exists():
        return SuppressionList()
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    good = rows[:1] == [HEADER] and all(_is_entry(row) for row in rows[1:])
    if not good:
        raise SourceError(
            f"the columns {', '.join(HEADER)}, in hexadecimal, in '{path}'",
            received="something else",
            action="Restore it from git; or delete it, and "
            "`uv run python -m pipeline.serving forget` writes it from the event store.",
        )
    return SuppressionList(Entry(*row) for row in rows[1:])


def write_suppressed(found: SuppressionList, path: Path = SUPPRESSED_USERS) -> None:
    """Write the list to the file, whole or not at all."""
    from pipeline.contracts.artefacts import (
        write_text,  # with it comes pandas, which a store does not need
    )

    rows = [HEADER, *([entry.salt, entry.user_hash] for entry in found)]
    write_text("".join(f"{','.join(row)}\n" for row in rows), path)


def _is_entry(row: list[str]) -> bool:
    lengths = [2 * SALT_BYTES, 64]
    return [len(part) for part in row] == lengths and all(
        re.fullmatch(r"[0-9a-f]+", part) for part in row
    )

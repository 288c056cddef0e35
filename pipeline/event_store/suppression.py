"""The list of people who asked to be forgotten; it can only be queried for a given id.

Design choices:

- The list holds salted hashes, because ids must be removed everywhere. Anyone with the list *and*
  an id can check whether the id is on the list, which is its purpose.
- Every entry has its salt, so that lists of two databases can be merged. In practice there is one
  salt.
- The list is stored twice: in the event store's database for running services, and in a file in
  git, which is a dependency of collection.
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
    """A set of forgotten people.

    >>> entry = hash_user("ann", "00" * 16)
    >>> "ann" in SuppressionList([entry]), "bob" in SuppressionList([entry])
    (True, False)
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """Index the entries by their salt."""
        self.entries = frozenset(entries)
        self._hashes: dict[str, set[str]] = defaultdict(set)
        for entry in self.entries:
            self._hashes[entry.salt].add(entry.user_hash)

    def __contains__(self, user_id: str) -> bool:
        """Return whether a user is on the list."""
        return any(
            hash_user(user_id, salt).user_hash in hashes for salt, hashes in self._hashes.items()
        )

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries in a fixed order."""
        return iter(sorted(self.entries))

    def of(self, user_ids: Iterable[str]) -> set[str]:
        """Return the users among `user_ids` that are on the list."""
        return {user_id for user_id in user_ids if user_id in self} if self.entries else set()

    def salt(self) -> str:
        """Return the salt for new entries: the list's salt, or a new one."""
        return min(self._hashes, default="") or secrets.token_hex(SALT_BYTES)


def hash_user(user_id: str, salt: str) -> Entry:
    """Return the entry of a user: HMAC-SHA256 of the id under the salt."""
    return Entry(salt, hmac.digest(bytes.fromhex(salt), user_id.encode(), "sha256").hex())


def read_suppressed(path: Path = SUPPRESSED_USERS) -> SuppressionList:
    """Return the list in the file, or an empty list if there is no file.

    Raises:
        SourceError: If the file is damaged; it is never treated as empty.
    """
    if not path.exists():
        return SuppressionList()
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    is_valid = rows[:1] == [HEADER] and all(_is_entry(row) for row in rows[1:])
    if not is_valid:
        raise SourceError(
            f"the columns {', '.join(HEADER)}, in hexadecimal, in '{path}'",
            received="other contents",
            action="Restore the file from git, or delete it and run "
            "`uv run python -m pipeline.serving forget` to write it from the event store.",
        )
    return SuppressionList(Entry(*row) for row in rows[1:])


def write_suppressed(suppressed: SuppressionList, path: Path = SUPPRESSED_USERS) -> None:
    """Write the list to the file atomically."""
    from pipeline.contracts.artefacts import (
        write_text,  # imports pandas, which a store does not need
    )

    rows = [HEADER, *([entry.salt, entry.user_hash] for entry in suppressed)]
    write_text("".join(f"{','.join(row)}\n" for row in rows), path)


def _is_entry(row: list[str]) -> bool:
    lengths = [2 * SALT_BYTES, 64]
    return [len(part) for part in row] == lengths and all(
        re.fullmatch(r"[0-9a-f]+", part) for part in row
    )

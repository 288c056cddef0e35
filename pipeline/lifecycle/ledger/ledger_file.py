"""The ledger: what the loop did and why, one JSON line per transition.

    data/lifecycle/ledger.jsonl

It is only appended to, and each line is on disk before what it announces happens. A line that a
killed process wrote in part can only be the last; it is moved aside. Damage elsewhere is an error.
"""

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pipeline.lifecycle.errors import LedgerError, StorageError
from pipeline.lifecycle.ledger.entries import NO_ATTEMPT, VERSION, LedgerEntry

FOLDER = Path("data/lifecycle")
LEDGER = FOLDER / "ledger.jsonl"
ASIDE = ".damaged"

log = logging.getLogger("evergreen")


@dataclass(frozen=True)
class LedgerContents:
    """The entries of a ledger, oldest first.

    Attributes:
        entries: The whole entries.
        n_bytes: Length of the whole entries in the file.
        torn: A last line that was written in part; empty if there is none.
    """

    entries: tuple[LedgerEntry, ...] = ()
    n_bytes: int = 0
    torn: bytes = b""


def read_ledger(path: Path = LEDGER) -> LedgerContents:
    """Return the contents of the ledger; a missing file is an empty ledger.

    Raises:
        LedgerError: A line before the last one is damaged, or one is of another version.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return LedgerContents()
    lines = content.splitlines(keepends=True)
    entries: list[LedgerEntry] = []
    n_bytes = 0
    for number, line in enumerate(lines, start=1):
        is_last = number == len(lines)
        if is_last and not (line.endswith(b"\n") and _is_json(line)):
            return LedgerContents(tuple(entries), n_bytes, line)
        entry = _parse(line, number, path)
        _check_order(entry, entries, number, path)
        entries.append(entry)
        n_bytes += len(line)
    return LedgerContents(tuple(entries), n_bytes)


def open_ledger(path: Path = LEDGER) -> tuple[LedgerEntry, ...]:
    """Return the entries, and move a torn last line aside; the caller holds the lock.

    Raises:
        LedgerError: A line before the last one is damaged, or one is of another version.
        StorageError: The torn line cannot be moved.
    """
    contents = read_ledger(path)
    if contents.torn:
        aside = path.with_name(path.name + ASIDE)
        log.warning(
            "The last line of '%s' was written in part: %r. It is moved to '%s'.",
            path, contents.torn[:80], aside,
        )  # fmt: skip
        append_line(contents.torn.rstrip(b"\n") + b"\n", aside)
        _cut(path, contents.n_bytes)
    return contents.entries


def append_entry(entry: LedgerEntry, path: Path = LEDGER) -> None:
    """Append an entry and flush it to disk.

    Raises:
        StorageError: The disk is full, or the file cannot be written; the ledger is unchanged.
    """
    values = entry.model_dump(mode="json")
    filled = {name: value for name, value in values.items() if value is not None}
    append_line(json.dumps(filled, ensure_ascii=False).encode() + b"\n", path)


def append_line(line: bytes, path: Path) -> None:
    """Append bytes to a file and flush it to disk; after an error the file is as before.

    Raises:
        StorageError: The disk is full, or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        size = 0 if is_new else path.stat().st_size
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            _write_whole(descriptor, line, size)
        finally:
            os.close(descriptor)
        if is_new:
            _flush_folder(path.parent)
    except OSError as error:
        raise StorageError(
            f"to append to '{path}'",
            received=str(error),
            action="Free some space or correct the permissions, then run "
            "`uv run python -m pipeline.lifecycle run`: it goes on where it stopped.",
        ) from error


def _write_whole(descriptor: int, line: bytes, size: int) -> None:
    try:
        written = 0
        while written < len(line):
            written += os.write(descriptor, line[written:])
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cut(path: Path, n_bytes: int) -> None:
    with path.open("r+b") as stream:
        stream.truncate(n_bytes)
        os.fsync(stream.fileno())


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _parse(line: bytes, number: int, path: Path) -> LedgerEntry:
    try:
        version = json.loads(line).get("version")
    except (ValueError, AttributeError) as error:
        raise _damaged(line, number, path, str(error)) from error
    if version != VERSION:
        raise LedgerError(
            f"version {VERSION} of the ledger in line {number} of '{path}'",
            received=f"version {version!r}",
            action="Use the version of Evergreen that wrote it, or move the file away to begin "
            "a new ledger: the loop then knows nothing of earlier repairs.",
        )
    try:
        return LedgerEntry.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _damaged(line, number, path, f"{where}: {first['msg']}") from error


def _check_order(entry: LedgerEntry, earlier: list[LedgerEntry], number: int, path: Path) -> None:
    """Check that an attempt begins with its proposal."""
    is_first = all(other.attempt != entry.attempt for other in earlier)
    if entry.attempt == NO_ATTEMPT or is_first == (entry.transition == "proposed"):
        return
    raise LedgerError(
        f"attempt {entry.attempt} to begin with its only proposal in line {number} of '{path}'",
        received=f"'{entry.transition}'",
        action=f"Restore the file: `git checkout {path}`.",
    )


def _damaged(line: bytes, number: int, path: Path, why: str) -> LedgerError:
    return LedgerError(
        f"an entry in line {number} of '{path}'",
        received=f"{line[:80]!r} ({why})",
        action=f"Correct or delete the line, or restore the file: `git checkout {path}`.",
    )

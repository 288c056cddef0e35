import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.lifecycle.errors import LedgerError, StorageError
from pipeline.lifecycle.ledger.entries import Assessment, LedgerEntry, group_attempts
from pipeline.lifecycle.ledger.history import format_history
from pipeline.lifecycle.ledger.journal import Journal
from pipeline.lifecycle.ledger.ledger_file import (
    LEDGER,
    append_entry,
    open_ledger,
    read_ledger,
)
from tests.support.fake_cycles import DEEPER, REFIT

ASIDE = Path("data/lifecycle/ledger.jsonl.damaged")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def proposal(attempt: int = 1) -> LedgerEntry:
    return LedgerEntry(attempt=attempt, transition="proposed", repair=REFIT, before=Assessment())


def write_two() -> bytes:
    append_entry(proposal(1))
    append_entry(proposal(2))
    return LEDGER.read_bytes()


def test_what_is_appended_is_read_again() -> None:
    entries = [proposal(1), LedgerEntry(attempt=1, transition="failed", note="It is refused.")]
    for entry in entries:
        append_entry(entry)
    assert read_ledger().entries == tuple(entries)
    assert LEDGER.read_bytes().count(b"\n") == 2


def test_no_ledger_is_an_empty_one() -> None:
    assert read_ledger().entries == ()
    assert "no repair" in format_history(())


@pytest.mark.parametrize("n_bytes", [1, 30, 200, -1])
def test_a_torn_last_line_is_moved_aside_and_named(
    n_bytes: int, caplog: pytest.LogCaptureFixture
) -> None:
    whole = write_two()
    append_entry(proposal(3))
    torn = LEDGER.read_bytes()[len(whole) :][:n_bytes]
    LEDGER.write_bytes(whole + torn)
    assert read_ledger().torn == torn
    assert len(open_ledger()) == 2
    assert LEDGER.read_bytes() == whole
    assert ASIDE.read_bytes() == torn + b"\n"
    assert repr(torn[:80]) in caplog.text
    assert "ledger.jsonl.damaged" in caplog.text
    append_entry(proposal(3))
    assert len(open_ledger()) == 3


def test_zeroes_after_a_power_cut_are_moved_aside() -> None:
    whole = write_two()
    LEDGER.write_bytes(whole + b"\0" * 100)
    assert len(open_ledger()) == 2
    assert LEDGER.read_bytes() == whole


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[:40] + b"\n",
        lambda _: b"\n",
        lambda _: b"[]\n",
        lambda line: line.replace(b'"proposed"', b'"baked"'),
        lambda line: line.replace(b'"attempt": 1', b'"attempt": "one"'),
    ],
)
def test_a_damaged_line_in_the_middle_is_an_error_with_its_number(damage: Any) -> None:
    first, second = write_two().splitlines(keepends=True)
    LEDGER.write_bytes(damage(first) + second)
    content = LEDGER.read_bytes()
    with pytest.raises(LedgerError, match=r"an entry in line 1 of 'data/lifecycle/ledger.jsonl'"):
        open_ledger()
    assert LEDGER.read_bytes() == content
    assert not ASIDE.exists()


@pytest.mark.parametrize("version", [0, 2, None])
def test_another_version_is_named(version: int | None) -> None:
    write_two()
    line = json.loads(LEDGER.read_bytes().splitlines()[1]) | {"version": version, "new": 1}
    with LEDGER.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    with pytest.raises(LedgerError, match=rf"version 1 .* in line 3 .*, got version {version}"):
        open_ledger()


@pytest.mark.parametrize("numbers", [[1, 1], [0]])
def test_an_attempt_has_one_proposal_at_its_beginning(numbers: list[int]) -> None:
    for number in numbers:
        append_entry(proposal(number) if number else LedgerEntry(attempt=4, transition="kept"))
    with pytest.raises(LedgerError, match="to begin with its only proposal in line"):
        read_ledger()


def test_a_full_disk_leaves_whole_lines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_two()
    write = os.write

    def write_a_part(descriptor: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:100])

    with monkeypatch.context() as full:
        full.setattr(os, "write", write_a_part)
        with pytest.raises(StorageError, match=r"to append to .*No space left on device"):
            append_entry(proposal(3))
    assert LEDGER.read_bytes() == whole
    append_entry(proposal(3))
    assert len(read_ledger().entries) == 3


def test_the_history_shows_each_attempt_with_its_gain() -> None:
    journal = Journal()
    attempt = journal.propose(REFIT, Assessment())
    journal.advance(attempt, "measured", after=Assessment(minutes=9.5))
    journal.advance(attempt, "kept", realised_gain=0.0123, note="every verdict proceeds")
    second = journal.propose(DEEPER, Assessment())
    journal.advance(second, "undone", by="person")
    head, first, step, note, other, *_ = format_history(journal.entries).splitlines()
    assert head.split()[0] == "no"
    assert first.split()[3:] == ["training", "aged", "kept", "loop", "+0.0200", "+0.0123", "9.5"]
    assert step.strip() == "set shop.as_of to '2017-12-11'"
    assert note.strip() == "kept: every verdict proceeds"
    assert other.split()[3:] == ["training", "aged", "undone", "person", "+0.0300", "-", "-"]


def test_attempts_are_numbered_from_one() -> None:
    journal = Journal()
    journal.propose(REFIT, Assessment())
    journal.propose(DEEPER, Assessment())
    assert [attempt.number for attempt in group_attempts(read_ledger().entries)] == [1, 2]

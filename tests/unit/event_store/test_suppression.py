"""The list of forgotten people tells who is on it, and nothing else."""

import hashlib
import hmac
from pathlib import Path

import pytest

from pipeline.contracts.errors import SourceError
from pipeline.event_store.suppression import (
    Entry,
    SuppressionList,
    entry_of,
    read_suppressed,
    write_suppressed,
)

SALT, OTHER = "0123456789abcdef" * 2, "ff" * 16


def test_an_entry_is_the_keyed_hash_of_the_id() -> None:
    expected = hmac.new(bytes.fromhex(SALT), b"ann", hashlib.sha256).hexdigest()
    assert entry_of("ann", SALT) == Entry(SALT, expected)


def test_it_knows_its_people_under_every_salt() -> None:
    found = SuppressionList([entry_of("ann", SALT), entry_of("bob", OTHER)])
    assert found.of(["ann", "bob", "cem", "Ann"]) == {"ann", "bob"}
    assert found.salt() == SALT
    assert len(found) == 2
    assert SuppressionList().of(["ann"]) == set()


def test_a_first_salt_is_random() -> None:
    assert SuppressionList().salt() != SuppressionList().salt()


def test_the_file_comes_back_as_it_was_written_and_holds_no_id(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    assert len(read_suppressed(path)) == 0
    for people in ([], ["ann-who-left", "bob"]):
        written = SuppressionList(entry_of(each, SALT) for each in people)
        write_suppressed(written, path)
        assert read_suppressed(path).entries == written.entries
    assert "ann-who-left" not in path.read_text()


@pytest.mark.parametrize(
    "text",
    ["", "user\nann\n", f"salt,user_hash\n{SALT},ann\n", f"salt,user_hash\n{SALT}\n", "a,b\n"],
)
def test_a_damaged_file_lets_nobody_through(tmp_path: Path, text: str) -> None:
    path = tmp_path / "users.csv"
    path.write_text(text)
    with pytest.raises(SourceError, match="salt, user_hash"):
        read_suppressed(path)

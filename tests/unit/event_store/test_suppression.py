"""The list of forgotten people answers queries for an id, and reveals nothing else."""

import hashlib
import hmac
from pathlib import Path

import pytest

from pipeline.contracts.errors import SourceError
from pipeline.event_store.suppression import (
    Entry,
    SuppressionList,
    hash_user,
    read_suppressed,
    write_suppressed,
)

SALT, OTHER = "0123456789abcdef" * 2, "ff" * 16


def test_an_entry_is_the_keyed_hash_of_the_id() -> None:
    expected = hmac.new(bytes.fromhex(SALT), b"ann", hashlib.sha256).hexdigest()
    assert hash_user("ann", SALT) == Entry(SALT, expected)


def test_it_knows_its_people_under_every_salt() -> None:
    suppressed = SuppressionList([hash_user("ann", SALT), hash_user("bob", OTHER)])
    assert suppressed.of(["ann", "bob", "cem", "Ann"]) == {"ann", "bob"}
    assert suppressed.salt() == SALT
    assert len(suppressed) == 2
    assert SuppressionList().of(["ann"]) == set()


def test_a_first_salt_is_random() -> None:
    assert SuppressionList().salt() != SuppressionList().salt()


def test_the_file_comes_back_as_it_was_written_and_holds_no_id(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    assert len(read_suppressed(path)) == 0
    for people in ([], ["ann-who-left", "bob"]):
        written = SuppressionList(hash_user(person, SALT) for person in people)
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

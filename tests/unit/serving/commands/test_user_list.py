"""Shoppers from a file of each kind; a clear error for every other."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.contracts.errors import SourceError
from pipeline.serving.commands.user_list import read_users


def test_each_kind_of_file_yields_the_ids_as_text_in_order_and_once(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [1, 2, 3], "user_id": ["007", "ann", "007"]})
    frame.to_parquet(tmp_path / "users.parquet")
    frame.to_csv(tmp_path / "users.csv", index=False)
    (tmp_path / "users.txt").write_text("007\nann\n007\n", encoding="utf-8")
    for kind in ("parquet", "csv", "txt"):
        assert read_users(tmp_path / f"users.{kind}") == ["007", "ann"]


def test_numbers_in_parquet_are_ids_too(tmp_path: Path) -> None:
    pd.DataFrame({"user_id": [7, 8]}).to_parquet(tmp_path / "users.parquet")
    assert read_users(tmp_path / "users.parquet") == ["7", "8"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("users.csv", b"\xef\xbb\xbfuser_id\nann\nbob\n"),
        ("users.csv", b'\xef\xbb\xbf"user_id","age"\r\n"ann",1\r\nbob,2\r\n'),
        ("users.CSV", b"user_id\nann\nbob"),
        ("users.txt", b"\xef\xbb\xbfann\nbob\n"),
        ("users.txt", b"\xef\xbb\xbfann\r\nbob\r\n"),
    ],
)
def test_what_spreadsheets_write_is_read_as_it_is_meant(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_users(tmp_path / name) == ["ann", "bob"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("users.csv", b"name\nann\n"),
        ("users.csv", b""),
        ("users.csv", b"user_id\n"),
        ("users.csv", b'user_id\n""\n'),
        ("users.txt", b""),
        ("users.txt", b"ann\n\nbob\n"),
        ("users.txt", b"\xff\xfe\x00"),
        ("users.parquet", b"not parquet"),
        ("users.json", b"[]"),
    ],
)
def test_what_is_not_a_list_of_shoppers_is_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match="Expected users"):
        read_users(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        read_users(tmp_path / "users.csv")


@pytest.mark.parametrize("user_id", [" ann", "ann ", "ann\u00a0", "\u3000ann"])
def test_every_format_treats_spaces_around_an_id_alike(tmp_path: Path, user_id: str) -> None:
    frame = pd.DataFrame({"user_id": [user_id]})
    frame.to_parquet(tmp_path / "users.parquet")
    frame.to_csv(tmp_path / "users.csv", index=False)
    (tmp_path / "users.txt").write_text(f"{user_id}\n", encoding="utf-8")
    outcomes = [outcome(tmp_path / f"users.{kind}") for kind in ("parquet", "csv", "txt")]
    assert outcomes[0] in ([user_id], "refused")
    assert outcomes == [outcomes[0]] * 3


def outcome(path: Path) -> list[str] | str:
    try:
        return read_users(path)
    except SourceError:
        return "refused"

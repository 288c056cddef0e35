"""Id maps of renames: what is read, and what is refused with the raw value."""

from pathlib import Path

import pytest

from pipeline.contracts.errors import SourceError
from pipeline.sources.id_maps import read_id_map


def write(folder: Path, text: str) -> Path:
    path = folder / "ids.csv"
    path.write_bytes(text.encode("utf-8"))
    return path


def test_ids_are_text_and_keep_their_zeros(tmp_path: Path) -> None:
    table = read_id_map(write(tmp_path, '\ufeffold,new\r\n007,7\r\n"a,b",c\r\n\r\n007,7\r\n'))
    assert table.to_pydict() == {"old": ["007", "a,b"], "new": ["7", "c"]}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "got ''"),
        ("before,after\na,b\n", "got 'before,after'"),
        ("old,new\na\n", r"line 2 .*got \['a'\]"),
        ("old,new\na,b\nc, d\n", r"line 3 .*got \['c', ' d'\]"),
        ("old,new\na,\n", r"got \['a', ''\]"),
        ("old,new\na,b\na,c\n", r"'a' as 'b' and as 'c' \(line 3\)"),
    ],
)
def test_a_wrong_map_is_refused(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SourceError, match=named):
        read_id_map(write(tmp_path, text))


def test_a_missing_map_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"ids\.csv.*no such file"):
        read_id_map(tmp_path / "ids.csv")


def test_a_map_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_bytes("old,new\ncafé,x\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"CSV in UTF-8.*UnicodeDecodeError"):
        read_id_map(path)

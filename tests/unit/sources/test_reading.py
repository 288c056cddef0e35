"""Bad files have clear errors; wall-clock times become UTC on any backend."""

# ruff: noqa: DTZ001  the engine's own times have no zone

import gzip
from datetime import datetime
from pathlib import Path

import ibis
import pandas as pd
import pytest

from pipeline.contracts.errors import SourceError
from pipeline.runtime.sql_engine import connect
from pipeline.sources.reading import check_columns, convert_to_utc, offset_changes, open_file


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"events\.parquet.*no such file"):
        open_file(connect(), tmp_path / "events.parquet")


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pd.DataFrame({"a": range(1000)}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"events\.parquet.*damaged or truncated"):
        open_file(connect(), path)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    path.touch()
    with pytest.raises(SourceError, match=r"events\.parquet"):
        open_file(connect(), path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.xlsx"
    path.touch()
    with pytest.raises(SourceError, match=r"ends in '\.xlsx'"):
        open_file(connect(), path)


def test_a_renamed_column_is_named_with_what_is_there() -> None:
    table = ibis.memtable([{"customer": "a", "item_id": "b"}])
    with pytest.raises(SourceError, match=r"customer.*missing: \['user_id'\]"):
        check_columns(table, ["item_id", "user_id"], Path("events.csv"))


def test_clocks_in_new_york_changed_twice_in_2017() -> None:
    changes = offset_changes("America/New_York", datetime(2017, 1, 1), datetime(2018, 1, 1))
    assert changes == [
        (datetime(2017, 1, 1), -5 * 3600),
        (datetime(2017, 3, 12, 3), -4 * 3600),
        (datetime(2017, 11, 5, 2), -5 * 3600),
    ]


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        (datetime(2017, 1, 1, 12), datetime(2017, 1, 1, 17)),
        (datetime(2017, 7, 1, 20), datetime(2017, 7, 2)),
        (datetime(2017, 11, 5, 1, 30), datetime(2017, 11, 5, 5, 30)),
        (datetime(2017, 11, 5, 2), datetime(2017, 11, 5, 7)),
    ],
)
def test_local_times_become_utc(local: datetime, utc: datetime) -> None:
    table = ibis.memtable([{"t": local}])
    bounds = datetime(2017, 1, 1), datetime(2018, 1, 1)
    converted = table.select(t=convert_to_utc(table.t, "America/New_York", *bounds)).to_pyarrow()
    assert converted["t"].to_pylist() == [utc]


def test_a_backend_that_is_not_installed_is_named() -> None:
    with pytest.raises(SourceError, match="nonsense"):
        connect("nonsense://")


TEXT = "user_id,item_id\ncafé,tea\nbob,milk\n"


@pytest.mark.parametrize(
    ("name", "content", "encoding"),
    [
        ("events.CSV", TEXT.encode(), "utf-8"),
        ("events.csv.gz", gzip.compress(TEXT.encode(), mtime=0), "utf-8"),
        ("events.tsv", TEXT.replace(",", "\t").encode(), "utf-8"),
        ("events.csv", TEXT.replace(",", ";").encode(), "utf-8"),
        ("events.csv", TEXT.encode("latin-1"), "latin-1"),
        ("events.csv", TEXT.encode("utf-16"), "utf-8"),  # its mark says what it is
    ],
)
def test_text_files_are_read_in_their_form_and_encoding(
    tmp_path: Path, name: str, content: bytes, encoding: str
) -> None:
    (tmp_path / name).write_bytes(content)
    rows = open_file(connect(), tmp_path / name, encoding).to_pyarrow().to_pydict()
    assert rows == {"user_id": ["café", "bob"], "item_id": ["tea", "milk"]}


@pytest.mark.parametrize("name", ["events.csv", "events.csv.gz"])
def test_another_encoding_is_an_error_with_the_bytes_and_the_setting(
    tmp_path: Path, name: str
) -> None:
    content = TEXT.encode("latin-1")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(SourceError, match=r"got b'caf\\xe9,tea' in line 2.*encoding: latin-1"):
        open_file(connect(), tmp_path / name)

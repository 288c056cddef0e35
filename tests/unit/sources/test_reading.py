"""Bad files have clear errors; wall-clock times become UTC on any backend."""

# ruff: noqa: DTZ001  the engine's own times have no zone

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

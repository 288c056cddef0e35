"""Times of files, as retailers write them, become the same moments in UTC."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contracts.errors import SourceError
from pipeline.contracts.params import SourceParams, TableSource, read_params
from pipeline.runtime.sql_engine import fetch
from pipeline.sources import Source, open_source
from tests.support.tiny_shop import PROJECT

Clock = Literal["utc", "local"]
EVENING = datetime(2024, 1, 31, 18, 5, tzinfo=UTC)


def open_times(
    folder: Path, times: Any, clock: Clock = "utc", dates: Any = "auto", suffix: str = ".csv"
) -> Source:
    columns = {"user_id": "u", "item_id": "i", "price": 1.0}
    frame = pd.DataFrame({"timestamp": times}).assign(**columns)
    if suffix == ".csv":
        frame.to_csv(folder / "sales.csv", index=False)
    else:
        frame.to_parquet(folder / "sales.parquet", index=False)
    source = SourceParams(
        kind="files",
        path=str(folder),
        timestamps_are=clock,
        ends=date(2025, 1, 1),
        tables={"events": TableSource(file=f"sales{suffix}", dates=dates)},
    )
    params = read_params(PROJECT / "params.yaml")
    return open_source(params.collection.model_copy(update={"source": source}), params.shop)


def read(folder: Path, *times: Any, **options: Any) -> list[datetime | None]:
    moments: list[datetime | None] = fetch(open_times(folder, list(times), **options).events)[
        "timestamp"
    ].to_pylist()
    return moments


@pytest.mark.parametrize("clock", ["utc", "local"])
@pytest.mark.parametrize(
    "text",
    [
        "2024-01-31 13:05:00 -0500",
        "2024-01-31T13:05:00-05:00",
        "2024-01-31 20:05:00+02",
        "2024-01-31T18:05:00Z",
        "2024-01-31 18:05:00.000000 UTC",
        "20240131T180500Z",
        "Wed, 31 Jan 2024 18:05:00 GMT",
        "31/01/2024 19:05 +0100",
        "1706724300",
        "1706724300.0",
        "1706724300000",
        "1706724300000000",
        "1706724300000000000",
    ],
)
def test_a_text_with_an_offset_is_a_moment_whatever_the_shops_clock(
    tmp_path: Path, text: str, clock: Clock
) -> None:
    assert read(tmp_path, text, clock=clock) == [EVENING]


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2024-01-31 18:05:00", 18),
        ("2024/1/31 18:05", 18),
        ("2024-01-31T18:05:00.000", 18),
        (" 2024-01-31 18:05 ", 18),
        ("31.01.2024 18:05", 18),
        ("31/1/24 18:05", 18),
        ("01/31/2024 6:05 PM", 18),
        ("01/31/2024, 12:05 a.m.", 0),
        ("20240131180500", 18),
        ("31-Jan-2024 18:05", 18),
        ("31 January 2024 18:05", 18),
        ("Jan 31, 2024 6:05 pm", 18),
    ],
)
def test_a_text_without_an_offset_follows_timestamps_are(
    tmp_path: Path, text: str, hour: int
) -> None:
    in_utc = EVENING.replace(hour=hour)
    assert read(tmp_path, text) == [in_utc]
    assert read(tmp_path, text, clock="local") == [in_utc + pd.Timedelta(hours=5)]


def test_a_column_may_mix_offsets_and_wall_clock_times(tmp_path: Path) -> None:
    texts = "2024-01-31 13:05:00", "2024-01-31 20:05:00 +0200", "2024-07-31 14:05:00"
    assert read(tmp_path, *texts, clock="local") == [EVENING, EVENING, EVENING.replace(month=7)]


def test_the_report_says_how_a_column_is_written(tmp_path: Path) -> None:
    source = open_times(tmp_path, ["31/01/2024", "01/02/2024"], clock="local")
    assert source.read_as == {"events.timestamp": "day first, times of the shop's clock"}


def test_days_above_twelve_tell_the_order_of_the_whole_column(tmp_path: Path) -> None:
    assert read(tmp_path, "03/04/2024", "31/01/2024")[0] == datetime(2024, 4, 3, tzinfo=UTC)
    assert read(tmp_path, "03/04/2024", "01/31/2024")[0] == datetime(2024, 3, 4, tzinfo=UTC)
    assert read(tmp_path, "03.04.2024") == [datetime(2024, 4, 3, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        (("03/04/2024", "05/06/2024"), "got '03/04/2024'; 0 dates"),
        (("31/01/2024", "01/31/2024"), "1 dates can only begin with a day and 1 only"),
    ],
)
def test_an_order_that_nothing_tells_is_asked_for(
    tmp_path: Path, texts: tuple[str, ...], named: str
) -> None:
    with pytest.raises(SourceError, match=rf"column 'timestamp'.*{named}.*dates: day_first"):
        read(tmp_path, *texts)
    assert read(tmp_path, texts[0], dates="day_first") == [
        datetime(2024, int(texts[0][3:5]), int(texts[0][:2]), tzinfo=UTC)
    ]


@pytest.mark.parametrize("text", ["2024-02-30", "2024-01-31 25:00:00", "31/02/2024", "soon"])
def test_a_time_that_does_not_exist_is_kept_as_it_was(tmp_path: Path, text: str) -> None:
    source = open_times(tmp_path, ["2024-01-31", "30/01/2024", text])
    rows = {row["unread"]: row["timestamp"] for row in fetch(source.events).to_pylist()}
    assert rows[f"timestamp '{text}'"] is None
    assert len(rows) == 2


def test_numbers_of_parquet_are_dates_or_seconds(tmp_path: Path) -> None:
    def number(value: float) -> list[datetime | None]:
        return read(tmp_path, value, suffix=".parquet")

    assert number(20240131) == [datetime(2024, 1, 31, tzinfo=UTC)]
    assert number(1706724300) == number(1706724300.0) == [EVENING]
    assert number(1706724300.5) == [EVENING.replace(microsecond=500_000)]


@pytest.mark.parametrize("value", [5, 2.5, "x"])
def test_a_whole_column_without_times_is_an_error_with_its_type(
    tmp_path: Path, value: float | str
) -> None:
    expected = {5: "int64", 2.5: "float64", "x": "string"}[value]
    with pytest.raises(SourceError, match=rf"'timestamp' of.*got {expected}.*'{value}"):
        read(tmp_path, value, suffix=".parquet")


def test_a_type_that_holds_no_time_is_an_error_with_its_type(tmp_path: Path) -> None:
    table = pa.table({"user_id": ["u"], "item_id": ["i"], "price": [1.0], "timestamp": [[1]]})
    pq.write_table(table, tmp_path / "sales.parquet")
    source = SourceParams(
        kind="files", path=str(tmp_path), tables={"events": TableSource(file="sales.parquet")}
    )
    params = read_params(PROJECT / "params.yaml")
    with pytest.raises(SourceError, match=r"'timestamp'.*got array<int64>"):
        open_source(params.collection.model_copy(update={"source": source}), params.shop)

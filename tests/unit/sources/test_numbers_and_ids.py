"""Numbers and ids of files, as retailers and their programs write them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.contracts.errors import SourceError
from pipeline.contracts.params import SourceParams, TableSource, read_params
from pipeline.runtime.sql_engine import fetch
from pipeline.sources import Source, open_source
from tests.support.tiny_shop import PROJECT


def open_files(folder: Path, options: dict[str, Any], **tables: pd.DataFrame) -> Source:
    files = {}
    for name, frame in tables.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)
        files[name] = TableSource(file=f"{name}.parquet", **options)
    source = SourceParams(kind="files", path=str(folder), tables=files)
    params = read_params(PROJECT / "params.yaml")
    return open_source(params.collection.model_copy(update={"source": source}), params.shop)


def lines(**columns: list[Any]) -> pd.DataFrame:
    base = {"user_id": "u", "item_id": "i", "timestamp": "2017-05-01", "price": 1.0}
    return pd.DataFrame(columns).assign(
        **{name: value for name, value in base.items() if name not in columns}
    )


def prices(folder: Path, *texts: str, **options: Any) -> list[float | None]:
    source = open_files(folder, options, events=lines(price=list(texts)))
    rows = fetch(source.events.select("price")).to_pylist()
    return [row["price"] for row in rows]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("1.50", "-2", "3e2"), (1.5, -2.0, 300.0)),
        (("1,50", "2", "1.234"), (1.5, 2.0, 1234.0)),
        (("1.234,50", "1.234.567"), (1234.5, 1234567.0)),
        (("1,234.50", "1,234", "1,234,567"), (1234.5, 1234.0, 1234567.0)),
        (("1 234,50", "1\u00a0234,5", "1\u202f234,5"), (1234.5, 1234.5, 1234.5)),
        (("1'234.50", "1\u2019234.50"), (1234.5, 1234.5)),
        (("€ 1,50", "2,50 €", "EUR 3,50", "4,50 kr.", "zł 5,5"), (1.5, 2.5, 3.5, 4.5, 5.5)),
        (("$1.50", "-$2.50", "$-3.50", "R$ 4.50"), (1.5, -2.5, -3.5, 4.5)),
        (("Rp 15.000.000", "Rp. 500", "Rp. 1.500.000"), (15e6, 500.0, 1.5e6)),
        (("(1.50)", "2.50-", "£3.50"), (-1.5, -2.5, 3.5)),
    ],
)
def test_numbers_are_read_as_they_are_meant(
    tmp_path: Path, texts: tuple[str, ...], expected: tuple[float, ...]
) -> None:
    assert prices(tmp_path, *texts) == list(expected)


def test_a_column_of_one_comma_and_three_digits_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"column 'price', got '1,234'.*decimal: comma"):
        prices(tmp_path, "1,234", "2")
    assert prices(tmp_path, "1,234", "2", decimal="comma") == [1.234, 2.0]
    assert prices(tmp_path, "1,234", "2", decimal="point") == [1234.0, 2.0]


def test_decimal_signs_that_contradict_each_other_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"got '1,50', '1.50'"):
        prices(tmp_path, "1,50", "1.50")


def test_a_number_against_the_columns_sign_is_kept_as_it_was(tmp_path: Path) -> None:
    """Read with a point, 12,5 would be 125."""
    frame = lines(price=["1.50"] * 100 + ["12,5"])
    source = open_files(tmp_path, {}, events=frame)
    (row,) = fetch(source.events.filter(source.events.price.isnull())).to_pylist()
    assert row["unread"] == "price '12,5'"


@pytest.mark.parametrize("text", ["three", "12 apples", "1.5.2", "--1", "(1.50", "1e", "5%"])
def test_what_is_no_number_is_kept_as_it_was(tmp_path: Path, text: str) -> None:
    source = open_files(tmp_path, {}, events=lines(price=["1.50", "$2.50", text]))
    rows = {row["unread"]: row["price"] for row in fetch(source.events).to_pylist()}
    assert rows[f"price '{text}'"] is None
    assert len(rows) == 2


def test_a_whole_column_without_numbers_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"numbers in the column 'price'.*'cheap', 'dear'"):
        prices(tmp_path, "dear", "cheap")


def ids(folder: Path, values: list[Any]) -> list[str | None]:
    source = open_files(folder, {}, events=lines(user_id=values))
    values_read: list[str | None] = fetch(source.events.select("user_id"))["user_id"].to_pylist()
    return values_read


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1003.0, None, 7.0], ["1003", None, "7"]),
        ([1003.5, 7.0], ["1003.5", "7"]),
        (["1003.0", "7.0", "guest"], ["1003", "7", "guest"]),
        (["1.0", "1"], ["1.0", "1"]),
        (["007", "7"], ["007", "7"]),
        ([" 7 ", "a b"], ["7", "a b"]),
        (["nan", "None", "NULL", "", "<NA>", "NaN "], [None] * 6),
        (["NA", "nancy"], ["NA", "nancy"]),
    ],
)
def test_ids_are_what_was_meant_and_a_missing_value_is_nobody(
    tmp_path: Path, values: list[Any], expected: list[str | None]
) -> None:
    assert ids(tmp_path, values) == expected


def test_float_ids_of_lines_meet_the_catalogue(tmp_path: Path) -> None:
    items = pd.DataFrame({"item_id": [1003, 7], "title": ["Tea", "Milk"]})
    source = open_files(tmp_path, {}, events=lines(item_id=[1003.0, None]), items=items)
    listed = set(fetch(source.items)["item_id"].to_pylist())
    assert {"1003"} == set(fetch(source.events)["item_id"].drop_null().to_pylist()) <= listed

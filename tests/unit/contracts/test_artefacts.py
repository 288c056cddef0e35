from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from pipeline.contracts import artefacts
from pipeline.contracts.artefacts import Artefact
from pipeline.contracts.errors import ArtefactError, SchemaError
from pipeline.contracts.schemas import EVENTS, ITEMS
from tests.support import tiny_shop


def items() -> pd.DataFrame:
    return tiny_shop.items().assign(first_seen=pd.Timestamp("2024-01-01", tz="UTC"))


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    artefacts.write_table(items(), path, ITEMS)
    read = artefacts.read_table(Artefact(path, "collection", ITEMS))
    assert read["item_id"].tolist() == items()["item_id"].tolist()
    assert read.columns.tolist() == ITEMS.names()


def test_partitions_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for month in ("2024-02", "2024-01"):
        frame = tiny_shop.events()[:1].assign(basket_id=month)
        artefacts.write_table(frame, tmp_path / f"{month}.parquet", EVENTS)
    read = artefacts.read_table(Artefact(tmp_path, "collection", EVENTS), columns=["basket_id"])
    assert read["basket_id"].tolist() == ["2024-01", "2024-02"]


def test_a_missing_file_names_the_stage_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="dvc repro labeling"):
        artefacts.read_table(Artefact(tmp_path / "no.parquet", "labeling"))


def test_an_empty_folder_is_not_a_table(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="empty folder"):
        artefacts.read_table(Artefact(tmp_path, "collection"))


def test_a_truncated_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    artefacts.write_table(items(), path, ITEMS)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ArtefactError, match=r"readable Parquet file.*items\.parquet"):
        artefacts.read_table(Artefact(path, "collection", ITEMS))


def test_truncated_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"target": 0.1', encoding="utf-8")
    with pytest.raises(ArtefactError, match="Expected JSON"):
        artefacts.read_json(Artefact(path, "planning"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["brand"]), "missing: \\['brand'\\]"),
        (lambda t: t.rename_columns({"brand": "label"}), "unknown: \\['label'\\]"),
        (lambda t: t.set_column(0, "item_id", pa.nulls(len(t), pa.string())), "60 nulls"),
        (lambda t: t.set_column(6, "first_seen", pa.array(["x"] * len(t))), "first_seen"),
    ],
)
def test_a_table_that_breaks_its_schema_is_refused(
    tmp_path: Path, change: object, message: str
) -> None:
    table = change(pa.Table.from_pandas(items(), preserve_index=False))  # type: ignore[operator]
    with pytest.raises(SchemaError, match=message):
        artefacts.write_table(table, tmp_path / "items.parquet", ITEMS)
    assert list(tmp_path.iterdir()) == []


def test_json_has_sorted_keys_and_eight_decimals(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    artefacts.write_json({"b": 1 / 3, "a": pd.Series([1]).iloc[0]}, path)
    assert path.read_text(encoding="utf-8") == '{\n  "a": 1,\n  "b": 0.33333333\n}\n'


def test_json_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        artefacts.write_json({"a": float("nan")}, tmp_path / "x.json")

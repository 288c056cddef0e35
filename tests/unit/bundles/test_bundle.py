import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.bundles import bundle
from pipeline.contracts.artefacts import sha256
from pipeline.contracts.errors import BundleError
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.vocabulary import Vocabulary


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "graph.pb").write_bytes(b"graph")
    (tmp_path / "vocabulary.json").write_text("milk\n", encoding="utf-8")
    bundle.write_manifest(tmp_path, {"as_of": "2024-06-03"})
    return tmp_path


def test_an_untouched_bundle_verifies(folder: Path) -> None:
    manifest = bundle.verify_bundle(folder)
    assert manifest["as_of"] == "2024-06-03"
    assert sorted(manifest["files"]) == ["saved_model/graph.pb", "vocabulary.json"]


def test_equal_content_has_equal_versions(folder: Path) -> None:
    before = bundle.verify_bundle(folder)["version"]
    again = bundle.write_manifest(folder, {"as_of": "another day"})["version"]
    (folder / "vocabulary.json").write_text("tea\n", encoding="utf-8")
    changed = bundle.write_manifest(folder, {})["version"]
    assert before == again != changed


def test_an_altered_file_is_named(folder: Path) -> None:
    (folder / "vocabulary.json").write_text("tea\n", encoding="utf-8")
    with pytest.raises(BundleError, match=r"vocabulary\.json.*dvc checkout"):
        bundle.verify_bundle(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "saved_model" / "graph.pb").unlink()
    with pytest.raises(BundleError, match=r"graph\.pb"):
        bundle.verify_bundle(folder)


def test_an_unlisted_file_is_named(folder: Path) -> None:
    (folder / "extra.py").write_text("", encoding="utf-8")
    with pytest.raises(BundleError, match=r"extra\.py"):
        bundle.verify_bundle(folder)


def test_no_bundle_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="dvc repro"):
        bundle.verify_bundle(tmp_path / "nothing")


def test_a_manifest_that_is_not_json_is_an_error(folder: Path) -> None:
    (folder / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(BundleError, match="JSONDecodeError"):
        bundle.verify_bundle(folder)


def test_histories_survive_the_parquet_file(tmp_path: Path) -> None:
    events = pd.DataFrame(
        {
            "user_id": ["b", "a", "a"],
            "item_id": ["tea", "milk", "milk"],
            "timestamp": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"], utc=True),
            "event_type": "purchase",
            "quantity": [1.0, 2.0, 1.0],
            "price": [3.0, 1.0, 1.5],
            "basket_id": ["x", "y", "z"],
        }
    )
    histories = build_histories(events, Vocabulary(("milk", "tea")))
    table = bundle._build_history_table(histories)
    again = bundle._build_histories(table, 5_000)
    assert again.maximum_lines == 5_000
    assert again.user_ids == ("a", "b")
    for name in ("row_splits", "item", "time", "basket", "quantity", "price"):
        np.testing.assert_array_equal(getattr(again, name), getattr(histories, name))


def test_the_manifest_is_readable_json(folder: Path) -> None:
    text = (folder / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(text)["files"]["vocabulary.json"] == sha256(folder / "vocabulary.json")

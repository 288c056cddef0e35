import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.bundles import bundle
from pipeline.bundles.manifest import BundleManifest, read_manifest, write_manifest
from pipeline.contracts.artefacts import sha256
from pipeline.contracts.errors import BundleError
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.vocabulary import Vocabulary
from tests.support.fake_bundle import make_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "graph.pb").write_bytes(b"graph")
    (tmp_path / "vocabulary.json").write_text("milk\n", encoding="utf-8")
    write_manifest(tmp_path, make_manifest("counting", "2024-06-03"))
    return tmp_path


def test_an_untouched_bundle_verifies(folder: Path) -> None:
    manifest = bundle.verify_bundle(folder)
    assert manifest.as_of == "2024-06-03"
    assert sorted(manifest.files) == ["saved_model/graph.pb", "vocabulary.json"]


def test_equal_content_has_equal_versions(folder: Path) -> None:
    before = bundle.verify_bundle(folder).version
    again = write_manifest(folder, make_manifest("counting", "2024-06-04")).version
    (folder / "vocabulary.json").write_text("tea\n", encoding="utf-8")
    changed = write_manifest(folder, make_manifest("counting")).version
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
    with pytest.raises(BundleError, match=r"manifest\.json.*Invalid JSON.*dvc repro deployment"):
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


# As the first releases wrote it: no limit of lines, another file for the vocabulary.
OLD_MANIFEST = {
    "as_of": "2017-12-04T05:00:00+00:00",
    "data": {"clean": "3a9a", "examples": "cf15"},
    "files": {"vocabulary.txt": "636f"},
    "git_commit": "e8e5",
    "model": {"epochs": {"explore": 1, "network": 2}, "name": "mlp"},
    "timezone": "America/New_York",
    "version": "2f8be114b13c",
}


def write_damaged(folder: Path, **changes: object) -> None:
    """Write the old manifest with changes; None removes a key."""
    changed = {name: value for name, value in (OLD_MANIFEST | changes).items() if value is not None}
    (folder / "manifest.json").write_text(json.dumps(changed), encoding="utf-8")


def test_the_manifest_of_an_old_release_is_read(tmp_path: Path) -> None:
    write_damaged(tmp_path, family="mlp")
    manifest = read_manifest(tmp_path)
    assert (manifest.model.name, manifest.maximum_user_lines) == ("mlp", None)
    assert manifest.as_of_moment.isoformat() == "2017-12-04T00:00:00-05:00"


def test_a_moment_without_an_offset_is_in_the_time_zone_of_the_shop() -> None:
    assert make_manifest("counting", "2017-12-04").as_of_moment.isoformat() == (
        "2017-12-04T00:00:00+00:00"
    )


def test_a_manifest_is_read_as_it_was_written(folder: Path) -> None:
    text = (folder / "manifest.json").read_bytes()
    manifest = read_manifest(folder)
    assert isinstance(manifest, BundleManifest)
    assert write_manifest(folder, manifest) == manifest
    assert (folder / "manifest.json").read_bytes() == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": None}, "got version: no such key"),
        ({"files": ["x"]}, r"files: .*object \(got \['x'\]\)"),
        ({"model": {"epochs": None}}, r"got model\.name: no such key"),
        ({"timezone": "Mars/Olympus"}, "timezone: expected a time zone, got 'Mars/Olympus'"),
        ({"as_of": "soon"}, "as_of: Invalid isoformat string: 'soon'"),
        ({"maximum_user_lines": "all"}, r"maximum_user_lines: .*integer \(got 'all'\)"),
    ],
)
def test_a_damaged_manifest_is_named_with_its_key_its_value_and_the_command(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    write_damaged(tmp_path, **changes)
    with pytest.raises(BundleError, match=message) as caught:
        read_manifest(tmp_path)
    assert str(tmp_path / "manifest.json") in caught.value.expected
    assert "uv run dvc repro deployment`" in caught.value.action

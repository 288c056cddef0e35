from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.contracts.errors import ParamsError
from pipeline.contracts.params import read_params
from tests.support import tiny_shop


def write(folder: Path, change: dict[str, Any]) -> Path:
    values = tiny_shop.params()
    for dotted, value in change.items():
        *sections, last = dotted.split(".")
        place = values
        for section in sections:
            place = place[section]
        place[last] = value
    path = folder / "params.yaml"
    tiny_shop.write_params(path, values)
    return path


def test_windows_are_the_shops_own_midnights(tmp_path: Path) -> None:
    path = write(tmp_path, {"shop.timezone": "America/New_York"})
    windows = read_params(path).shop.windows()
    assert windows.as_of == datetime(2024, 6, 3, 4, tzinfo=UTC)
    assert windows.test_start == datetime(2024, 5, 6, 4, tzinfo=UTC)
    assert windows.validation_start == datetime(2024, 4, 8, 4, tzinfo=UTC)


def test_daylight_saving_moves_midnight_in_utc(tmp_path: Path) -> None:
    path = write(tmp_path, {"shop.timezone": "America/New_York"})
    shop = read_params(path).shop
    assert shop.midnight(datetime(2024, 1, 1).date()).hour == 5  # noqa: DTZ001
    assert shop.midnight(datetime(2024, 7, 1).date()).hour == 4  # noqa: DTZ001


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("families.ranker.epochs", "six", "families.ranker.epochs"),
        ("families.ranker.epochs", 0, "families.ranker.epochs"),
        ("families.ranker.epoch", 6, "families.ranker.epoch"),
        ("shop.as_of", "soon", "shop.as_of"),
        ("shop.timezone", "Mars/Olympus", "IANA"),
        ("shop.seed", 1.5, "shop.seed"),
        ("testing.cutoffs", [], "testing.cutoffs"),
        ("collection.source.kind", "ftp", "collection.source.kind"),
        ("collection.source.path", None, "collection.source.path"),
        ("collection.source.tables", {"events": {"file": "../sales.csv"}}, "link or copy it"),
        ("collection.source.tables", {"events": {"file": "/sales.csv"}}, "link or copy it"),
    ],
)
def test_a_wrong_value_is_refused_by_name(tmp_path: Path, key: str, value: Any, named: str) -> None:
    with pytest.raises(ParamsError, match=named):
        read_params(write(tmp_path, {key: value}))


def test_a_missing_file_says_where_to_stand(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="project's root"):
        read_params(tmp_path / "params.yaml")


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("shop: {as_of: [", encoding="utf-8")
    with pytest.raises(ParamsError, match="line 1"):
        read_params(path)


def test_params_never_change(tmp_path: Path) -> None:
    params = read_params(write(tmp_path, {}))
    with pytest.raises(ValueError, match="frozen"):
        params.shop.seed = 1

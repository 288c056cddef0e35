"""A byte order mark, as spreadsheets write it, is ignored."""

import codecs
from pathlib import Path

import pytest

from pipeline.contracts.params import read_params
from pipeline.event_store.suppression import (
    SuppressionList,
    hash_user,
    read_suppressed,
    write_suppressed,
)
from pipeline.labeling.audit.reviews import read_decisions
from pipeline.runtime.sql_engine import connect
from pipeline.serving.commands.user_list import read_users
from pipeline.serving.security.keys import create_key, read_keys
from pipeline.sources.reading import open_file
from tests.support.tiny_shop import PROJECT


def write_users(path: Path) -> None:
    path.write_text("user_id\nann\n", encoding="utf-8")


def write_ids(path: Path) -> None:
    path.write_text("ann\n", encoding="utf-8")


def write_decisions(path: Path) -> None:
    path.write_bytes(
        (PROJECT / "data/reviewed/labels.csv").read_bytes().splitlines(keepends=True)[0]
    )


def write_params(path: Path) -> None:
    path.write_bytes((PROJECT / "params.yaml").read_bytes())


def write_forgotten(path: Path) -> None:
    write_suppressed(SuppressionList([hash_user("ann", "00" * 16)]), path)


def write_keys(path: Path) -> None:
    create_key(path, "shop", ("recommend",))


FILES = {
    "params.yaml": (write_params, read_params),
    "labels.csv": (write_decisions, lambda path: read_decisions(path).to_csv()),
    "suppressed.csv": (write_forgotten, lambda path: read_suppressed(path).entries),
    "keys.json": (write_keys, read_keys),
    "users.csv": (write_users, read_users),
    "users.txt": (write_ids, read_users),
    "events.csv": (write_users, lambda path: open_file(connect(), path).to_pyarrow().to_pylist()),
}


@pytest.mark.parametrize("name", FILES)
def test_what_people_write_is_read_the_same_with_a_mark(tmp_path: Path, name: str) -> None:
    write, read = FILES[name]
    path = tmp_path / name
    write(path)
    without = read(path)
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert read(path) == without

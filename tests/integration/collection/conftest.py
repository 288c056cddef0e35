"""A project that has collected once."""

import shutil
from pathlib import Path

import pytest

from pipeline.collection.__main__ import main
from pipeline.validation import Validator
from tests.support import tiny_shop
from tests.support.collected import AFTER, source_events, write_params


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collected")
    source = folder / "data" / "source"
    tiny_shop.write_source(source)
    source_events().to_parquet(source / "events.parquet", index=False)
    offers = tiny_shop.offers()
    offers[offers["starts"] < AFTER].to_parquet(source / "offers.parquet", index=False)
    write_params(folder)
    tiny_shop.write_verdicts(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([]) == 0
    return folder


@pytest.fixture
def shop_with_docs(collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project that has collected once."""
    shutil.copytree(collected, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shop(shop_with_docs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the same project without writing Data Docs, which take longest."""
    monkeypatch.setattr(Validator, "write_docs", lambda *_: None)
    return shop_with_docs

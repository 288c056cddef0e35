"""Fixtures that more than one room uses."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.runtime.stage import quiet_tools
from tests.support import postgres, tiny_shop
from tests.support.no_skips import pytest_make_collect_report, pytest_runtest_makereport
from tests.support.ordered import pytest_generate_tests

if TYPE_CHECKING:
    from pipeline.serving.releases.store import ReleaseStore

__all__ = ["pytest_generate_tests", "pytest_make_collect_report", "pytest_runtest_makereport"]
quiet_tools()
# A shell lets its background jobs ignore Ctrl-C, and so would the services that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def shop_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with the tiny shop's source and params.yaml; the working directory."""
    tiny_shop.write_source(tmp_path / "data" / "source")
    (tmp_path / "data" / "reviewed").mkdir()
    header = "example_id,basket_id,item_id,reason,decision\n"
    (tmp_path / "data" / "reviewed" / "labels.csv").write_text(header, encoding="utf-8")
    tiny_shop.write_params(tmp_path / "params.yaml", tiny_shop.params())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def release_store(tmp_path: Path) -> "ReleaseStore":
    """A release store in which the champion `old` is deployed."""
    from tests.support.fake_releases import write_fake_store

    return write_fake_store(tmp_path)


@pytest.fixture
def old(release_store: "ReleaseStore") -> str:
    """The version of the champion in `release_store`."""
    from pipeline.bundles.archive import version_of

    return version_of(release_store.deployed)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Cluster]:
    """A PostgreSQL on loopback."""
    if postgres.binaries() is None:
        pytest.skip("Debian's package postgresql is not installed")
    with postgres.running() as cluster:
        yield cluster


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'new' / 'events.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    return str(request.getfixturevalue("postgresql").new_database())

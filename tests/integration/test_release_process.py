"""Releases in the service as it runs in production: BentoML, a worker, commands beside it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event as Signal

import httpx
import psutil
import pytest

from pipeline.serving.commands import promote, rollback
from pipeline.serving.process import RunningService, running_service
from pipeline.serving.releases.store import ReleaseStore
from tests.support.fake_releases import write_fake

# Python runs this at start, so that the service loads the fake bundles, which have no model.
SITE = """
import os
if "EVERGREEN_RELEASES" in os.environ:
    from pipeline.bundles import bundle
    from tests.support.fake_releases import load_fake
    bundle.load_bundle = load_fake
"""
TIMEOUT = httpx.Timeout(60.0)


@pytest.fixture
def service(shop_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningService]:
    (shop_folder / "site").mkdir()
    (shop_folder / "site" / "sitecustomize.py").write_text(SITE)
    monkeypatch.setenv("PYTHONPATH", str(shop_folder / "site"))
    monkeypatch.delenv("EVERGREEN_RELEASES", raising=False)
    release_store = ReleaseStore()
    write_fake(release_store.deployed, "old")
    with running_service(
        release_store.deployed,
        params_path=Path("params.yaml"),
        timeout_seconds=600,
        event_store=f"sqlite:///{shop_folder / 'live.db'}",
        releases=release_store.folder,
    ) as running:
        yield running


def version(service: RunningService) -> str:
    answer = httpx.post(f"{service.url}/recommend", json={"user_id": "ann"}, timeout=TIMEOUT)
    return str(answer.raise_for_status().json()["model_version"])


@pytest.mark.slow
def test_promote_and_rollback_swap_under_load_and_survive_a_killed_worker(
    service: RunningService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = version(service)
    new = write_fake(tmp_path / "new", "new")
    done = Signal()

    def ask(user_id: str) -> list[int]:
        statuses = []
        with httpx.Client(base_url=service.url, timeout=TIMEOUT, trust_env=False) as client:
            while not done.is_set():
                answer = client.post("/recommend", json={"user_id": user_id})
                statuses.append(answer.status_code)
        return statuses

    with ThreadPoolExecutor(4) as pool:
        askers = [pool.submit(ask, f"user{number}") for number in range(4)]
        assert promote.main([str(tmp_path / "new")]) == 0
        assert "The running service followed" in capsys.readouterr().out
        assert version(service) == new
        assert rollback.main([]) == 0
        assert version(service) == old
        done.set()
        statuses = [status for asker in askers for status in asker.result()]
    assert set(statuses) == {200}
    assert promote.main([new]) == 0
    psutil.Process(service.pid).children()[-1].kill()
    with httpx.Client(transport=httpx.HTTPTransport(retries=20), timeout=TIMEOUT) as client:
        answer = client.post(f"{service.url}/recommend", json={"user_id": "ann"})
    assert answer.json()["model_version"] == new

"""The service as a process: checks before the start, and BentoML."""

import importlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from pipeline.bundles.manifest import write_manifest
from pipeline.contracts.errors import DeploymentError
from pipeline.event_store.store import EventStore
from pipeline.serving.__main__ import main
from pipeline.serving.client import Client
from pipeline.serving.environment import absolute_store_url
from pipeline.serving.payloads import Event, RecommendRequest
from pipeline.serving.process import check_port, free_port, running_service
from tests.support.fake_bundle import AS_OF, make_manifest
from tests.support.fake_service import FAKE


@pytest.fixture
def champion(shop_folder: Path) -> Path:
    folder = shop_folder / "models" / "champion"
    folder.mkdir(parents=True)
    (folder / "vocabulary.json").write_text("milk\n")
    write_manifest(folder, make_manifest("counting"))
    return folder


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


@pytest.mark.parametrize("change", ["alter", "remove", "add", "manifest"])
def test_an_altered_champion_is_not_started(
    champion: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = champion / "vocabulary.json"
    if change == "remove":
        file.unlink()
    elif change == "manifest":
        file = champion / "manifest.json"
        file.write_text("{")
    else:
        file = file if change == "alter" else champion / "more.txt"
        file.write_text("tea\n")
    with caplog.at_level(logging.ERROR, "evergreen"):
        assert main([]) == 1
    assert "BundleError" in caplog.text
    assert file.name in caplog.text or "models/champion" in caplog.text


def test_without_a_champion_nothing_is_started(
    shop_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "evergreen"):
        assert main([]) == 1
    assert "models/champion" in caplog.text
    assert "dvc repro" in caplog.text


def test_a_taken_port_is_reported(
    champion: Path, listening: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "evergreen"):
        assert main(["--port", str(listening)]) == 1
    assert f"port {listening}" in caplog.text


def test_a_taken_port_stops_a_background_service_before_it_starts(
    champion: Path, listening: int
) -> None:
    with (
        pytest.raises(DeploymentError, match="to be free"),
        running_service(
            champion, params_path=Path("params.yaml"), timeout_seconds=5, port=listening
        ),
    ):
        pass


def test_an_address_of_another_machine_is_reported() -> None:
    with pytest.raises(DeploymentError, match=r"203\.0\.113\.1"):
        check_port("203.0.113.1", 3000)


def test_a_relative_store_path_is_resolved_in_the_project(tmp_path: Path) -> None:
    assert absolute_store_url("sqlite:///a.db", root=tmp_path) == f"sqlite:///{tmp_path}/a.db"
    assert absolute_store_url("sqlite:////b/a.db", root=tmp_path) == "sqlite:////b/a.db"
    assert absolute_store_url("sqlite:///:memory:", root=tmp_path) == "sqlite:///:memory:"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))


@pytest.mark.slow
@pytest.mark.usefixtures("fake")
def test_bentoml_serves_the_routes_and_writes_everything_at_stop(champion: Path) -> None:
    url = f"sqlite:///{champion.parent / 'live.db'}"
    params = Path("params.yaml")
    with running_service(
        champion, params_path=params, timeout_seconds=60, event_store=url
    ) as service:
        family = [service.pid, *(child.pid for child in psutil.Process(service.pid).children())]
        assert 0 < service.memory_gib() < 2
        with Client(service.url) as client:
            event = Event(user_id="ann", item_id="tea", event_type="purchase")
            assert client.send([event]).accepted == 1
            answer = client.recommend(RecommendRequest(user_id="ann", k=4, explore_slots=0))
            assert [item.item_id for item in answer.items] == ["milk", "bread", "jam", "tea"]
            assert client.docs()["info"]["title"] == "Evergreen"
            assert "evergreen_answers_total" in client.metrics()
            assert "bentoml_" not in client.metrics()
        for route in ("/livez", "/healthz", "/readyz"):
            assert httpx.get(service.url + route).status_code == 200
        assert httpx.post(f"{service.url}/recommend", content=b" " * 10_000_000).status_code == 413
        assert httpx.post(f"{service.url}/recommend", content=b"{").status_code == 422
    assert not any(psutil.pid_exists(pid) for pid in family)
    store = EventStore(url)
    assert [prediction.request_id for prediction in store.predictions()] == [answer.request_id]
    assert [event.item_id for event in store.events_since(AS_OF)] == ["tea"]
    store.close()


@pytest.mark.slow
@pytest.mark.usefixtures("fake")
def test_no_acknowledged_event_is_lost_when_the_worker_is_killed(champion: Path) -> None:
    url = f"sqlite:///{champion.parent / 'live.db'}"
    with (
        running_service(
            champion, params_path=Path("params.yaml"), timeout_seconds=60, event_store=url
        ) as service,
        Client(service.url, attempts=10) as client,
    ):
        worker = psutil.Process(service.pid).children()[-1]
        for number in range(20):
            client.send([Event(user_id="bob", item_id="jam", event_type="purchase")])
            if number == 10:
                worker.kill()
        answer = client.recommend(RecommendRequest(user_id="bob", k=1))
        store = EventStore(url)
        assert len(list(store.events_since(AS_OF))) == 20
        store.close()
        assert answer.items[0].item_id in {"jam", "coffee", "bread"}


@pytest.mark.slow
@pytest.mark.usefixtures("fake")
def test_a_failed_start_ends_at_once_with_the_reason(shop_folder: Path) -> None:
    started = time.monotonic()
    with (
        pytest.raises(DeploymentError, match="no bundle at"),
        running_service(
            shop_folder / "nowhere", params_path=Path("params.yaml"), timeout_seconds=60
        ),
    ):
        pass
    assert time.monotonic() - started < 40


@pytest.mark.slow
@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_the_foreground_service_and_its_children(
    champion: Path, number: signal.Signals
) -> None:
    root = str(Path(__file__).parents[2])
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ["PYTHONPATH"]])}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.serving", "--port", str(port)],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b"Serving the champion at" in line:
            break
    family = psutil.Process(process.pid).children(recursive=True)
    assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    process.send_signal(number)
    process.stderr.close()
    assert process.wait(20) == 130
    assert not any(child.is_running() for child in family)


def test_the_name_of_the_service_is_that_of_its_class() -> None:
    from pipeline.serving.process import SERVICE
    from pipeline.serving.service import Evergreen

    module, name = SERVICE.split(":")
    assert getattr(importlib.import_module(module), name) is Evergreen


def test_a_parent_process_loads_no_bentoml() -> None:
    code = "import sys; from pipeline.serving.process import serve_command as serve; "
    code += "serve('127.0.0.1', 1); sys.exit('bentoml' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0

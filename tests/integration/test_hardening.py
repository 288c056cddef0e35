"""Bad clients over real sockets, and the whole service as a process."""

import contextlib
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import uvicorn

from pipeline.serving.observability.logs import LEVEL
from pipeline.serving.process import running_service
from pipeline.serving.security.keys import create_key
from tests.support.fake_service import FAKE, fake_service

SECRET = "c0ffee-recognisable-shopper"
ASK = b'{"user_id": "ann"}'


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The endpoint without BentoML behind a real socket."""
    service = fake_service(tmp_path_factory.mktemp("service"))
    config = uvicorn.Config(
        service.gateway, port=0, lifespan="off", log_config=None, server_header=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + 60
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    yield int(server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    thread.join()
    service.close()


def talk(port: int, *parts: bytes) -> bytes:
    """Send parts on one connection and return all bytes until it is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):  # the server may close before all is sent
            for part in parts:
                connection.sendall(part)
        return receive_all(connection)


def receive_all(connection: socket.socket) -> bytes:
    """Return all bytes until the connection is closed."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65_536):
            received += chunk
    return received


def post(body: bytes, *headers: bytes, path: bytes = b"/recommend") -> bytes:
    length = b"Content-Length: %d" % len(body)
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: localhost", length, *headers]
    return b"\r\n".join([*lines, b"Connection: close", b"", body])


def status(answer: bytes) -> int:
    match = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    assert match, answer[:200]
    assert b"Traceback" not in answer
    return int(match[1])


def test_a_well_behaved_client_is_answered(port: int) -> None:
    assert status(talk(port, post(ASK))) == 200


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /nowhere HTTP/9.9\r\nConnection: close\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS to a plain port
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),  # no Host
        (b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /%00%ff%fe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        ("GET /ä HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), 400),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (b"GET //recommend HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (
            b"GET /" + b"x" * 4_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            414,
        ),
        (
            b"GET /" + b"x" * 90_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            400,
        ),
        (post(ASK, b"Cookie: " + b"x" * 20_000), 431),
        (post(ASK, *[b"X-%d: y" % n for n in range(150)]), 431),
        (post(ASK, b"Host: evil.example"), 400),  # two of them
        (post(ASK, b"Content-Length: 3"), 400),
        (post(ASK, b"X-Request-Id: \xff\xfe\x80"), 200),
        (post(ASK, b"Authorization: Bearer \xff\xfe"), 200),  # without keys, the header is ignored
        (post(ASK, b"Content-Type: text/plain"), 200),
        (post(ASK, b"Origin: https://evil.example"), 403),
        (post(b""), 422),
        (post(b"\xff" * 100), 422),
        (post(b" " * 10_000_000), 413),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
    ],
)
def test_malformed_requests_get_an_answer_without_details(
    port: int, sent: bytes, expected: int
) -> None:
    assert status(talk(port, sent)) == expected


def test_an_endless_body_is_cut_off(port: int) -> None:
    head = b"POST /events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"2000\r\n" + b" " * 0x2000 + b"\r\n"
    assert status(talk(port, head, *[chunk] * 200)) == 413


def test_a_slow_client_gets_408_and_delays_nobody(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(post(ASK)[:-5])
        for _ in range(20):
            assert status(talk(port, post(ASK))) == 200
        answer = receive_all(slow)
    assert status(answer) == 408
    assert b"connection: close" in answer.lower()
    assert b'"wanted":"a whole body within' in answer


def test_a_client_that_hangs_up_does_no_harm(port: int) -> None:
    for cut in (10, 60, len(post(ASK)) - 2):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(post(ASK)[:cut])
    assert status(talk(port, post(ASK))) == 200


def test_many_silent_connections_leave_room_for_others(port: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            silent = socket.create_connection(("127.0.0.1", port), timeout=30)
            stack.enter_context(silent).sendall(b"POST /recommend HTTP/1.1\r\n")
        assert status(talk(port, post(ASK))) == 200


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))


@pytest.fixture
def bundle(shop_folder: Path) -> Path:
    folder = shop_folder / "models" / "champion"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("fake")
def test_bentoml_checks_keys_formats_errors_and_logs_no_user_ids(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEVEL, "debug")
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("log_format: text", "log_format: json"))
    private = bundle.parent
    tokens = {
        "recommend": create_key(private / "keys.json", "reader", ("recommend",)),
        "admin": create_key(private / "keys.json", "root", ("admin",)),
    }
    url = f"sqlite:///{private / 'live.db'}"
    with running_service(
        bundle,
        params_path=Path("params.yaml"),
        timeout_seconds=120,
        event_store=url,
        private=private,
    ) as service:
        log = Path(psutil.Process(service.pid).environ()["BENTOML_HOME"]) / "log.txt"
        headers = {scope: {"authorization": f"Bearer {tokens[scope]}"} for scope in tokens}
        with httpx.Client(base_url=service.url, timeout=30) as http:
            for path in ("/recommend", f"/{SECRET}", "/schema.json", "/metrics", "/", "/docs.json"):
                assert http.get(path).status_code == 401
            query: dict[str, Any] = {"json": {"user_id": SECRET}, "headers": headers["recommend"]}
            assert http.post("/recommend", **query).status_code == 200
            assert http.post("/events", **query).status_code == 403
            for path in (f"/{SECRET}", f"/admin/{SECRET}", f"/readyz/{SECRET}"):
                missing = http.get(path, headers=headers["admin"])
                assert missing.status_code == 404
                assert set(missing.json()["error"]) == {"wanted", "received", "action"}
                assert missing.headers["x-content-type-options"] == "nosniff"
            metrics = http.get("/metrics", headers=headers["admin"]).text
            for probe in ("/livez", "/readyz", "/healthz"):
                assert http.get(probe).headers["x-request-id"]
        written = log.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    assert any(line.get("route") == "/recommend" and line.get("shopper") for line in lines)
    audit = (private / "audit.jsonl").read_text(encoding="utf-8")
    for text in (metrics, written, audit):
        assert SECRET not in text
        assert not any(token in text for token in tokens.values())
    assert 'evergreen_requests_total{route="other",status="404"}' in metrics
    assert "bentoml_" not in metrics


# A request for seven items takes a second.
SLOW = FAKE.replace(
    "    return FakeBundle()",
    """
    import time
    from tests.support.fake_bundle import CountingRecommender
    quick = CountingRecommender.rank_explained
    def rank_explained(self, requests, k):
        time.sleep(k == 7)
        return quick(self, requests, k)
    CountingRecommender.rank_explained = rank_explained
    return FakeBundle()
""",
)


@pytest.mark.slow
@pytest.mark.usefixtures("fake")
def test_sigterm_lets_a_running_request_finish(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "site" / "sitecustomize.py").write_text(SLOW)
    url = f"sqlite:///{bundle.parent / 'live.db'}"
    answers: list[int] = []
    with running_service(
        bundle, params_path=Path("params.yaml"), timeout_seconds=120, event_store=url
    ) as service:

        def ask() -> None:
            answer = httpx.post(
                f"{service.url}/recommend", json={"user_id": "ann", "k": 7}, timeout=30
            )
            answers.append(answer.status_code)

        def in_progress() -> float:
            text = httpx.get(f"{service.url}/metrics", timeout=30).text
            return float(re.findall(r"(?m)^evergreen_requests_in_progress (\S+)", text)[0])

        for _ in range(50):
            thread = threading.Thread(target=ask)
            thread.start()
            while thread.is_alive() and in_progress() < 2:  # one is the request for metrics
                time.sleep(0.01)
            if thread.is_alive():
                break
        before = len(answers)
        os.kill(service.pid, signal.SIGTERM)
        thread.join()
        psutil.Process(service.pid).wait(60)
    assert len(answers) == before + 1
    assert answers[-1] in {200, 503}  # 503 if the machine is very busy

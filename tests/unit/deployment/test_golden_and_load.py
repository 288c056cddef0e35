import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.contracts.params import read_params
from pipeline.deployment import release
from pipeline.deployment.golden import compare_golden
from pipeline.serving.load_test import LoadResult, run_load_test

ANSWER = {"items": [{"item_id": "milk", "slot": "repeat", "score": 2.0}]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = 500 if body["user_id"] == "broken" else 200
        data = json.dumps(ANSWER).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def golden(user: str = "a", item: str = "milk", score: float = 2.0) -> list[dict[str, Any]]:
    expected = {"items": [item], "scores": [score], "slots": ["repeat"]}
    return [{"request": {"user_id": user}, "expected": expected}]


def test_equal_answers_are_equal(url: str) -> None:
    result = compare_golden(url, golden(), 1e-5)
    assert (result.n, result.n_different, result.largest_difference) == (1, 0, 0.0)


def test_another_item_differs(url: str) -> None:
    result = compare_golden(url, golden(item="tea"), 1e-5)
    assert result.n_different == 1
    assert "tea" in result.first_difference


def test_a_score_beyond_the_tolerance_differs(url: str) -> None:
    result = compare_golden(url, golden(score=2.1), 1e-5)
    assert result.n_different == 1
    assert result.largest_difference == pytest.approx(0.1 / 2.1)


def test_an_error_differs(url: str) -> None:
    result = compare_golden(url, golden(user="broken"), 1e-5)
    assert "status 500" in result.first_difference


def test_load_counts_answers_and_failures(url: str) -> None:
    bodies = [{"user_id": "a"}, {"user_id": "broken"}]
    result = run_load_test(url, bodies, requests_per_second=40, seconds=0.5)
    assert result.n == 20
    assert result.n_failed == 10
    assert 0 < result.p50_ms <= result.p99_ms
    assert 0 <= result.stolen_fraction < 1


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[LoadResult, int]]:
    """Run `measure_load` on load tests with these p99; return its result, and how many it ran."""

    def run(*p99_ms: float, n_failed: int = 0) -> tuple[LoadResult, int]:
        results = [LoadResult(200, n_failed, 5.0, milliseconds, 0.0) for milliseconds in p99_ms]
        left = iter(results)
        monkeypatch.setattr(release, "run_load_test", lambda *_, **__: next(left))
        monkeypatch.setattr(release, "PAUSE_SECONDS", 0.0)
        return release.measure_load("", [], read_params()), len(results) - len(list(left))

    return run


def test_a_fast_load_test_is_enough(tried: Callable[..., tuple[LoadResult, int]]) -> None:
    result, n = tried(900.0, 9.0, 8.0)
    assert (result.p99_ms, n) == (9.0, 2)


def test_the_fastest_of_slow_load_tests_counts(
    tried: Callable[..., tuple[LoadResult, int]],
) -> None:
    result, n = tried(900.0, 700.0, 800.0, 950.0, 990.0, 1.0)
    assert (result.p99_ms, n) == (700.0, 5)


def test_a_failed_request_is_not_tried_away(
    tried: Callable[..., tuple[LoadResult, int]],
) -> None:
    result, n = tried(900.0, 9.0, n_failed=1)
    assert (result.p99_ms, n) == (900.0, 1)


@pytest.mark.parametrize("user", ["broken", "shopper-4711"])
def test_a_difference_names_the_request_and_not_the_shopper(url: str, user: str) -> None:
    result = compare_golden(url, [*golden(), *golden(user, item="tea")], 1e-5)
    assert result.first_difference.startswith("request 2 of 2: ")
    assert user not in result.first_difference

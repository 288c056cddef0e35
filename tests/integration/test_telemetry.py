"""Telemetry of requests: ids, metrics, log lines and traces, without a user id."""

import asyncio
import io
import json
import logging
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.types import Receive, Scope, Send

from pipeline.serving.observability.current_request import CURRENT
from pipeline.serving.observability.logs import JsonFormatter, TextFormatter
from pipeline.serving.observability.middleware import TelemetryMiddleware
from pipeline.serving.observability.pseudonyms import Pseudonyms
from pipeline.serving.observability.tracing import Tracing, build_tracing
from pipeline.serving.security.routes import PROBES, REQUIRED_SCOPES, route_label
from tests.support.fake_service import FakeService, fake_service

SECRET = "c0ffee-recognisable-shopper"
GIVEN = "0af7651916cd43dd8448eb211c80319c"
Start = Callable[..., FakeService]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    services: list[FakeService] = []

    def start_service(**more: Any) -> FakeService:
        services.append(fake_service(tmp_path, **more))
        return services[-1]

    yield start_service
    for service in services:
        service.close()


@pytest.fixture(params=["text", "json"])
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """The output of all loggers at level debug, in the service's format."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if request.param == "json" else TextFormatter())
    handler.addFilter(lambda record: not record.name.startswith("httpx"))  # the test's own client
    root = logging.getLogger()
    root_level, own_level = root.level, logging.getLogger("evergreen").level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.getLogger("evergreen").setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(root_level)
    logging.getLogger("evergreen").setLevel(own_level)


def test_a_well_formed_request_id_is_reused_and_any_other_replaced(start: Start) -> None:
    http = start().http()
    assert http.get("/healthz", headers={"x-request-id": GIVEN}).headers["x-request-id"] == GIVEN
    for bad in ("", "short", "shopper 2375 and more", "x" * 65, "é" * 20, "a" * 20 + "\t"):
        made = http.get("/healthz", headers={"x-request-id": bad.encode()}).headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{32}", made)
    answers = [http.get("/healthz").headers["x-request-id"] for _ in range(2)]
    assert answers[0] != answers[1]


def test_no_log_metric_or_audit_line_names_a_user(
    start: Start, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()
    reader, writer = service.http(key="recommend"), service.http(key="events")
    root, nobody = service.http(key="admin"), service.http()
    user = {"user_id": SECRET}
    event = {**user, "item_id": "tea", "event_type": "view"}
    bodies: list[Any] = [user, {**user, "k": 10**9}, {**user, SECRET: 1}, {"user_id": [SECRET]}]
    bodies += [[event], event, {**event, "event_type": SECRET}, [{**event, "event_id": SECRET}] * 2]
    for http in (reader, writer, root, nobody):
        for name in (
            *(f"/{name}" for name in REQUIRED_SCOPES),
            *PROBES,
            f"/{SECRET}",
            f"/admin/{SECRET}",
        ):
            for path in (name, f"{name}/{SECRET}", f"{name}?user_id={SECRET}"):
                headers = {"x-request-id": SECRET, "cookie": SECRET, "user-agent": SECRET}
                http.get(path, headers=headers)
                http.request(SECRET.upper(), path)
            for body in bodies:
                http.post(name, json=body)
            http.post(name, content=SECRET)

    def broken(*_: Any, **__: Any) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr(service.bundle.recommender, "rank_explained", broken)
    assert reader.post("/recommend", json={**user, "cart": ["tea"]}).status_code == 500
    other = sqlite3.connect(service.folder / "events.db")
    other.execute("BEGIN IMMEDIATE")
    assert writer.post("/events", json={**event, "event_id": "another"}).status_code == 503
    other.rollback()
    other.close()
    metrics = root.get("/metrics").text
    service.close()
    log, audit = written.getvalue(), (service.folder / "audit.jsonl").read_text(encoding="utf-8")
    assert "/recommend" in log
    assert '"denied"' in audit
    for text in (log, metrics, audit):
        assert SECRET not in text
        assert SECRET.upper() not in text
    desk = service.slot.resources
    assert desk is not None
    assert desk.pseudonyms.of(SECRET) in log


def test_a_json_line_has_the_request_id_and_a_failure_its_place(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    requests = logging.getLogger("evergreen.requests")
    requests.addHandler(handler)
    service = start()
    monkeypatch.setattr(service.bundle.recommender, "rank_explained", lambda *_, **__: 1 / 0)
    service.http().post("/recommend", json={"user_id": "ann"}, headers={"x-request-id": GIVEN})
    requests.removeHandler(handler)
    (line,) = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert (line["level"], line["logger"]) == ("warning", "evergreen.requests")
    assert (line["request_id"], line["route"], line["status"]) == (GIVEN, "/recommend", 500)
    assert line["shopper"] != "ann"
    assert line["ms"] > 0


def test_a_formatter_writes_type_and_place_of_an_error_but_not_its_message() -> None:
    record = logging.LogRecord("x", logging.ERROR, "p", 1, "It %s.", ("broke",), None)
    try:
        {}[SECRET]
    except KeyError as error:
        record.exc_info = (KeyError, error, error.__traceback__)
    for formatter in (JsonFormatter(), TextFormatter()):
        text = formatter.format(record)
        assert SECRET not in text
        assert "It broke." in text
        assert "KeyError" in text
        assert "test_telemetry.py" in text
        record.exc_text = None


def test_metrics_have_known_routes_only(start: Start) -> None:
    http = start().http()
    for number in range(50):
        http.get(f"/made-up-{number}")
        http.post("/recommend", json={"user_id": f"user-{number}"})
    http.post("/events", json={"user_id": "a", "item_id": "tea", "event_type": "view"})
    text = http.get("/metrics").text
    routes = set(re.findall(r'route="([^"]*)"', text))
    assert routes <= {f"/{name}" for name in REQUIRED_SCOPES} | PROBES | {"other"}
    assert "made-up" not in text
    assert 'evergreen_requests_total{route="other",status="404"}' in text
    assert 'evergreen_answer_seconds_count{stage="queue"}' in text
    assert "evergreen_event_lag_seconds_count" in text
    assert "evergreen_requests_in_progress 1.0" in text  # the request to /metrics


@pytest.mark.parametrize("method", ["get", "request"])
def test_unknown_methods_create_no_series(start: Start, method: str) -> None:
    http = start().http()
    http.request("BREW", "/recommend")
    assert "BREW" not in http.get("/metrics").text


def test_a_request_cancelled_by_the_server_counts_as_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hangs(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.sleep(3_600)

    statuses: list[int] = []
    app = TelemetryMiddleware(hangs, label=route_label, pseudonyms=Pseudonyms(b"s"), tracing=None)
    monkeypatch.setattr(app, "_record", lambda *values: statuses.append(values[2]))
    scope = {"type": "http", "path": "/recommend", "method": "POST", "headers": []}

    async def cancel_request() -> None:
        task = asyncio.create_task(app(scope, None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_request())
    assert statuses == [504]
    assert CURRENT.get() is None


def test_a_traced_request_has_a_span_for_each_stage_and_continues_the_callers_trace(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")  # as the service's process has it for BentoML
    exporter = InMemorySpanExporter()
    http = start(tracing=Tracing(SimpleSpanProcessor(exporter))).http()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    http.post("/recommend", json={"user_id": SECRET}, headers={"traceparent": parent})
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"POST /recommend", "queue", "build", "model", "explain"}
    root = spans["POST /recommend"]
    assert root.parent is not None
    assert f"{root.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{root.parent.span_id:016x}" == "b7ad6b7169203331"
    for name in ("queue", "build", "model", "explain"):
        assert spans[name].parent.span_id == root.context.span_id  # type: ignore[union-attr]
        assert spans[name].start_time >= root.start_time - 1_000_000
    assert root.attributes is not None
    assert root.attributes["http.response.status_code"] == 200
    assert SECRET not in "".join(span.to_json() for span in exporter.get_finished_spans())


def test_without_an_endpoint_there_is_no_tracing() -> None:
    assert build_tracing({}) is None
    assert build_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is None


def test_spans_are_sent_to_the_configured_endpoint(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    service = start()
    service.http().post("/recommend", json={"user_id": "ann"})
    assert service.slot.resources is not None
    service.slot.resources.close()
    server.shutdown()
    thread.join()
    server.server_close()
    assert [path for path, _ in received] == ["/v1/traces"]

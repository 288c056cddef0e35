"""Keys, limits and headers through the whole endpoint, without a socket."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.contracts.errors import EvergreenError
from pipeline.serving.__main__ import main
from pipeline.serving.api.app import build_app
from pipeline.serving.api.middleware import GatewayMiddleware, GatewaySlot
from pipeline.serving.commands.serve import check_keys
from pipeline.serving.payloads import ErrorAnswer
from pipeline.serving.security.routes import OTHER, PROBES, REQUIRED_SCOPES, route_label
from tests.support.fake_service import Direct, FakeService, fake_service

ANN = {"user_id": "ann"}
VIEW = {**ANN, "item_id": "tea", "event_type": "view"}
Start = Callable[..., FakeService]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    services: list[FakeService] = []

    def start_service(**changes: Any) -> FakeService:
        services.append(fake_service(tmp_path, **changes))
        return services[-1]

    yield start_service
    for service in services:
        service.close()


def problem(answer: httpx.Response) -> Any:
    error = ErrorAnswer.model_validate_json(answer.content).error
    assert error.wanted
    assert error.action
    return error


def audit(service: FakeService) -> list[dict[str, Any]]:
    text = (service.folder / "audit.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_every_route_of_the_app_has_a_name_and_a_scope() -> None:
    for route in build_app().routes:
        assert route_label(route.path) != OTHER, (
            f"add {route.path} to pipeline/serving/security/routes.py"
        )  # type: ignore[attr-defined]


def test_without_keys_this_machine_needs_no_key(start: Start) -> None:
    http = start().http()
    assert http.post("/recommend", json=ANN).status_code == 200
    assert http.post("/events", json=VIEW).status_code == 201
    for route in ("/metrics", "/docs.json", "/admin/model", *PROBES - {"/livez"}):
        assert http.get(route).status_code == 200, route


def test_with_keys_scopes_open_routes(start: Start) -> None:
    service = start()
    both, root = service.http(key="recommend,events"), service.http(key="admin")
    reader, nobody = service.http(key="recommend"), service.http()
    assert reader.post("/recommend", json=ANN).status_code == 200
    assert both.post("/events", json=VIEW).status_code == 201
    assert reader.post("/events", json=VIEW).status_code == 403
    assert root.post("/recommend", json=ANN).status_code == 403
    for route in ("/metrics", "/admin/model"):
        assert root.get(route).status_code == 200
        assert both.get(route).status_code == 403
    for route in (*(f"/{name}" for name in REQUIRED_SCOPES), "/nowhere", "/readyz/more"):
        answer = nobody.get(route)
        assert answer.status_code == 401, route
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "key create" in problem(answer).action
    assert nobody.get("/healthz").status_code == 200


def test_a_key_that_asks_too_often_waits_and_others_do_not(start: Start) -> None:
    service = start(requests_per_second_per_key=0.5)
    fast, other = service.http(key="recommend"), service.http(key="recommend,events")
    assert fast.post("/recommend", json=ANN).status_code == 200
    refused = fast.post("/recommend", json=ANN)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 2
    problem(refused)
    assert other.post("/recommend", json=ANN).status_code == 200


def test_every_answer_keeps_browsers_safe(start: Start) -> None:
    http = start().http()
    answers = [
        http.post("/recommend", json=ANN),
        http.post("/recommend", content=b"{"),
        http.get("/nowhere"),
        http.get("/recommend"),
        http.get("/healthz"),
        http.get("/docs.json", headers={"host": "evil.example"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 422, 404, 405, 200, 403]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-request-id"]
        assert "server" not in answer.headers


def test_foreign_pages_are_refused_unless_listed(start: Start) -> None:
    origin = "https://shop.example"
    preflight_headers = {"origin": origin, "access-control-request-method": "POST"}
    closed = start().http()
    assert closed.post("/recommend", json=ANN, headers={"origin": origin}).status_code == 403
    assert (
        "access-control-allow-origin"
        not in closed.options("/recommend", headers=preflight_headers).headers
    )
    opened = start(cors_origins=[origin]).http()
    answer = opened.post("/recommend", json=ANN, headers={"origin": origin})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    preflight = opened.options("/recommend", headers=preflight_headers)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == origin
    other = opened.options(
        "/recommend", headers={**preflight_headers, "origin": "https://evil.example"}
    )
    assert "access-control-allow-origin" not in other.headers


def test_a_listed_page_needs_a_key_too(start: Start) -> None:
    origin = {"origin": "https://shop.example"}
    service = start(cors_origins=[origin["origin"]])
    http = service.http(key="recommend")
    preflight_headers = {**origin, "access-control-request-method": "POST"}
    assert service.http().options("/recommend", headers=preflight_headers).status_code == 200
    assert service.http().post("/recommend", json=ANN, headers=origin).status_code == 401
    assert http.post("/recommend", json=ANN, headers=origin).status_code == 200


def test_the_audit_log_has_admin_and_denied_requests(start: Start) -> None:
    service = start()
    root, reader = service.http(key="admin"), service.http(key="recommend")
    reader.post("/recommend", json=ANN)
    assert root.post("/admin/keys/reload").json() == {"keys": 2}
    reader.get("/admin/model")
    service.http(authorization="Bearer eg_admin_guess").get("/metrics")
    admin, scope, key = audit(service)
    assert (admin["event"], admin["key"], admin["method"]) == ("admin", "admin", "POST")
    assert (admin["route"], admin["status"]) == ("/admin/keys/reload", 200)
    assert (scope["event"], scope["reason"], scope["route"]) == ("denied", "scope", "/admin")
    assert (key["reason"], key["status"], key["client"]) == ("key", 401, "127.0.0.1")
    assert all(line["request_id"] and line["time"] for line in (admin, scope, key))
    assert "guess" not in (service.folder / "audit.jsonl").read_text(encoding="utf-8")


def test_a_reload_of_a_damaged_file_is_reported_and_changes_nothing(start: Start) -> None:
    service = start()
    root = service.http(key="admin")
    (service.folder / "keys.json").write_text("{")
    answer = root.post("/admin/keys/reload")
    assert answer.status_code == 409
    assert "keys.json" in problem(answer).wanted
    assert root.get("/admin/model").json() == {"version": "0123456789ab", "name": "counting"}


def test_before_it_is_furnished_only_probes_are_answered() -> None:
    with httpx.Client(
        transport=Direct(GatewayMiddleware(build_app(), GatewaySlot())), base_url="http://x"
    ) as http:
        assert http.get("/healthz").status_code == 200
        answer = http.get("/metrics")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        problem(answer)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "shop.example"])
def test_it_does_not_listen_elsewhere_without_keys(tmp_path: Path, host: str) -> None:
    with pytest.raises(EvergreenError, match="key create"):
        check_keys(host, tmp_path / "keys.json")
    (tmp_path / "keys.json").write_text('{"keys": []}')
    check_keys(host, tmp_path / "keys.json")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_it_listens_on_loopback_without_keys(tmp_path: Path, host: str) -> None:
    check_keys(host, tmp_path / "keys.json")


def test_keys_are_created_listed_and_revoked_from_the_command_line(
    shop_folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["key", "list"]) == 0
    assert "loopback only" in capsys.readouterr().out
    assert main(["key", "create", "--scopes", "recommend, events", "--name", "shop"]) == 0
    token = capsys.readouterr().out.strip()
    assert token.startswith("eg_shop_")
    assert main(["key", "create", "--scopes", "admin"]) == 0
    capsys.readouterr()
    assert main(["key", "list"]) == 0
    listed = capsys.readouterr().out
    assert "recommend,events" in listed
    assert token not in listed
    assert main(["key", "revoke", "shop"]) == 0
    assert main(["key", "revoke", "shop"]) == 1
    assert "the keys are: key-" in caplog.text
    assert main(["--host", "0.0.0.0"]) == 1  # there are keys, but no champion
    events = (shop_folder / "data" / "private" / "audit.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in events] == [
        "key_created",
        "key_created",
        "key_revoked",
    ]
    assert token not in "".join(events)


def test_serving_elsewhere_without_keys_is_a_clear_error(
    shop_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["--host", "0.0.0.0"]) == 1
    assert "to listen on 0.0.0.0" in caplog.text

"""The storefront's routes: who may read them, what they answer, how long browsers keep it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from pipeline.contracts.artefacts import write_verdict
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.event_store.store import EventStore
from pipeline.serving.api.app import build_app
from pipeline.serving.api.backend import Backend
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.payloads import ErrorAnswer
from pipeline.serving.storefront.gate import is_open
from pipeline.serving.storefront.pages import ASSETS
from tests.support.fake_bundle import FakeBundle, serving_params
from tests.support.served import Direct

READS = (
    "/",
    "/storefront/status",
    "/storefront/items?id=tea",
    "/storefront/shoppers",
    "/storefront/shoppers/ann",
)
HERE = "http://127.0.0.1:3000"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., httpx.Client]]:
    monkeypatch.chdir(tmp_path)
    backends: list[Backend] = []

    def started(url: str = HERE, **changes: Any) -> httpx.Client:
        params = serving_params(**changes)
        store = EventStore(f"sqlite:///{tmp_path / 'events.db'}")
        app = build_app()
        app.state.backend = Backend(RecommendationEngine(FakeBundle(), store, params), params)
        backends.append(app.state.backend)
        return httpx.Client(transport=Direct(app), base_url=url)

    yield started
    for backend in backends:
        backend.close()


@pytest.fixture
def http(start: Callable[..., httpx.Client]) -> httpx.Client:
    return start()


@pytest.mark.parametrize("route", READS)
def test_on_this_machine_everything_is_shown(http: httpx.Client, route: str) -> None:
    assert http.get(route).status_code == 200


@pytest.mark.parametrize("route", READS)
def test_elsewhere_or_when_switched_off_nothing_is_shown(
    start: Callable[..., httpx.Client], http: httpx.Client, route: str
) -> None:
    refused = [
        start("http://10.0.0.7:3000").get(route),
        start(storefront=False).get(route),
        http.get(route, headers={"Host": "rebound.example:3000"}),
        http.get(route, headers={"X-Forwarded-For": "10.0.0.9"}),
    ]
    for answer in refused:
        assert answer.status_code == 404
        problem = ErrorAnswer.model_validate_json(answer.content).error
        assert "serving.storefront" in problem.action


@pytest.mark.parametrize(
    ("server", "host", "expected"),
    [
        (("127.0.0.1", 3000), b"localhost:3000", True),
        (("::1", 3000), b"[::1]:3000", True),
        (("127.0.0.1", 3000), b"LOCALHOST", True),
        (("192.168.1.5", 3000), b"localhost", False),
        (("/run/service.sock", None), b"localhost", False),
        (None, b"localhost", False),
        (("127.0.0.1", 3000), b"", False),
        (("127.0.0.1", 3000), b"localhost.example", False),
    ],
)
def test_both_ends_must_be_this_machine(server: Any, host: bytes, expected: object) -> None:
    scope = {"type": "http", "server": server, "headers": [(b"host", host)]}
    assert is_open(serving_params(storefront=True), scope) is expected


def test_the_page_loads_only_from_here_and_has_no_script_of_its_own(http: httpx.Client) -> None:
    for route in ("/", "/docs"):
        answer = http.get(route)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|style=", answer.text)
        assert all(
            link.startswith("/") for link in re.findall(r'(?:src|href)="([^#"]+)"', answer.text)
        )


def test_files_are_cached_and_pages_are_revalidated(http: httpx.Client) -> None:
    first = http.get("/")
    assert first.headers["Cache-Control"] == "no-cache"
    again = http.get("/", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    (script,) = re.findall(r'src="(/assets/[^"]+/app\.js)"', first.text)
    answer = http.get(script)
    assert answer.content == (ASSETS / "app.js").read_bytes()
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert http.get("/assets/0000/app.js").status_code == 404


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fgate.py", "%2e%2e%2fgate.py"])
def test_only_the_page_s_own_files_are_served(http: httpx.Client, name: str) -> None:
    version = http.get("/").headers["ETag"].strip('"')
    assert http.get(f"/assets/{version}/{name}").status_code == 404


def test_answers_about_shoppers_are_not_cached(http: httpx.Client) -> None:
    for route in READS[1:]:
        assert http.get(route).headers["Cache-Control"] == "no-store"


def test_an_id_with_special_characters_is_read(http: httpx.Client) -> None:
    name = "a/b?c#d <é>"
    answer = http.get(f"/storefront/shoppers/{quote(name, safe='')}").json()
    assert answer["shopper"]["user_id"] == name


@pytest.mark.parametrize(
    "route",
    [
        "/storefront/items",
        "/storefront/items?" + "&".join(["id=tea"] * 201),
        "/storefront/shoppers?query=" + "x" * 129,
        "/storefront/shoppers?query=%00",
        "/storefront/shoppers/%07",
    ],
)
def test_a_bad_read_is_a_422_in_words(http: httpx.Client, route: str) -> None:
    answer = http.get(route)
    assert answer.status_code == 422
    assert ErrorAnswer.model_validate_json(answer.content).error.action


def test_the_drift_light_is_monitoring_s_last_word(http: httpx.Client) -> None:
    assert http.get("/storefront/status").json()["drift"]["status"] == "unknown"
    cause = "recall fell"
    write_verdict(
        Verdict(
            phase="monitoring",
            status="return",
            cause=cause,
            target_phase="training",
            action="fit again",
        )
    )
    assert http.get("/storefront/status").json()["drift"] == {"status": "return", "cause": cause}
    write_verdict(
        Verdict(
            phase="monitoring",
            status="proceed",
            cause="kept",
            evidence=(Evidence(name="input_drift", value=0.2, holds=False, gates=False),),
        )
    )
    assert http.get("/storefront/status").json()["drift"] == {"status": "warns", "cause": "kept"}
    Path("reports/monitoring/verdict.json").write_text('{"phase": 1}')
    assert http.get("/storefront/status").json()["drift"]["status"] == "unknown"


def test_before_the_model_is_loaded_the_page_says_so() -> None:
    http = httpx.Client(transport=Direct(build_app()), base_url=HERE)
    assert {http.get(route).status_code for route in READS} == {503}


def test_a_swapped_engine_is_read_at_once(
    start: Callable[..., httpx.Client], tmp_path: Path
) -> None:
    params = serving_params()
    app = build_app()
    store = EventStore(f"sqlite:///{tmp_path / 'swap.db'}")
    app.state.backend = Backend(RecommendationEngine(FakeBundle(), store, params), params)
    http = httpx.Client(transport=Direct(app), base_url=HERE)
    assert http.get("/storefront/items?id=milk").json()["items"][0]["title"] == "Milk"
    bundle = FakeBundle()
    bundle.items["title"] = "Renamed"
    old, app.state.backend = (
        app.state.backend,
        Backend(RecommendationEngine(bundle, store, params), params),
    )
    assert http.get("/storefront/items?id=milk").json()["items"][0]["title"] == "Renamed"
    old.close()
    app.state.backend.close()

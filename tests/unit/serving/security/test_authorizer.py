from pathlib import Path
from typing import Any

import pytest

from pipeline.serving.security.authorizer import Authorizer
from pipeline.serving.security.errors import AccessError
from pipeline.serving.security.keyring import KeyRing
from pipeline.serving.security.keys import create_key
from pipeline.serving.security.rate_limit import RateLimit
from pipeline.serving.security.routes import NEEDS, PROBES, label, needed


def door(
    path: Path, *, per_key: float = 0, per_address: float = 0, origins: Any = ()
) -> Authorizer:
    return Authorizer(
        KeyRing(path),
        per_key=RateLimit(per_key),
        per_address=RateLimit(per_address),
        origins=frozenset(origins),
    )


def request(
    path: str = "/recommend",
    *,
    server: str = "127.0.0.1",
    host: str = "127.0.0.1:3000",
    **more: str,
) -> dict[str, Any]:
    headers = {"host": host, **more}
    return {
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "server": (server, 3000),
        "client": ("127.0.0.1", 40_000),
    }


def refusal(at: Authorizer, scope: dict[str, Any]) -> tuple[int, str]:
    with pytest.raises(AccessError) as error:
        at.admit(scope, label(scope["path"]))
    return error.value.status, error.value.reason


def enter(at: Authorizer, scope: dict[str, Any]) -> str | None:
    return at.admit(scope, label(scope["path"]))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.mark.parametrize("host", ["127.0.0.1:3000", "localhost", "[::1]:3000", "shop.localhost"])
def test_without_keys_this_machine_is_let_in(keys: Path, host: str) -> None:
    assert enter(door(keys), request(host=host)) is None


def test_without_keys_other_machines_are_not_whatever_started_the_service(keys: Path) -> None:
    assert refusal(door(keys), request(server="10.0.0.7")) == (403, "place")
    assert refusal(door(keys), request(server="fe80::1")) == (403, "place")
    assert enter(door(keys), request("/readyz", server="10.0.0.7")) is None


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:3000", "[broken"])
def test_a_name_that_was_bent_to_this_machine_is_refused(keys: Path, host: str) -> None:
    assert refusal(door(keys), request(host=host)) == (403, "place")


def test_a_page_of_others_cannot_ask_from_a_browser_here(keys: Path) -> None:
    page = request(origin="https://evil.example")
    assert refusal(door(keys), page) == (403, "origin")
    assert refusal(door(keys), request(origin="null")) == (403, "origin")
    assert enter(door(keys, origins=["https://evil.example"]), page) is None
    assert enter(door(keys), request(origin="http://localhost:3000", host="localhost:3000")) is None


def test_with_keys_every_route_but_the_probes_wants_one(keys: Path) -> None:
    create_key(keys, "shop", ("recommend",))
    at = door(keys)
    for name in NEEDS:
        assert refusal(at, request(f"/{name}")) == (401, "key")
    assert refusal(at, request("/nowhere")) == (401, "key")
    for name in PROBES:
        assert enter(at, request(name, server="10.0.0.7")) is None


def test_a_key_opens_from_anywhere_what_its_scope_says(keys: Path) -> None:
    shop = f"Bearer {create_key(keys, 'shop', ('recommend',))}"
    root = f"bearer  {create_key(keys, 'root', ('admin',))} "
    at = door(keys)
    far = {"server": "10.0.0.7", "host": "shop.example"}
    assert enter(at, request(authorization=shop, **far)) == "shop"
    assert enter(at, request("/explain/17", authorization=shop, **far)) == "shop"
    for path in ("/events", "/metrics", "/admin/model", "/nowhere", "/", "/readyz/x/../admin"):
        assert refusal(at, request(path, authorization=shop, **far)) == (403, "scope")
    assert enter(at, request("/metrics", authorization=root, **far)) == "root"
    assert refusal(at, request(authorization=f"Basic {shop}")) == (401, "key")


def test_a_key_that_asks_too_often_is_told_when_to_come_back(keys: Path) -> None:
    tokens = {name: create_key(keys, name, ("recommend",)) for name in ("a", "b")}
    at = door(keys, per_key=0.1)
    first = request(authorization=f"Bearer {tokens['a']}")
    assert enter(at, first) == "a"
    with pytest.raises(AccessError) as error:
        enter(at, first)
    assert error.value.status == 429
    assert error.value.headers == ((b"retry-after", b"10"),)
    assert enter(at, request(authorization=f"Bearer {tokens['b']}")) == "b"


def test_addresses_are_limited_only_if_asked_for(keys: Path) -> None:
    for _ in range(1_000):
        enter(door(keys), request())
    at = door(keys, per_address=0.5)
    enter(at, request())
    assert refusal(at, request()) == (429, "rate")


def test_long_paths_and_headers_are_refused_also_of_probes(keys: Path) -> None:
    at = door(keys)
    assert refusal(at, request("/recommend/" + "x" * 3_000)) == (414, "size")
    assert refusal(at, request("/readyz", cookie="x" * 20_000)) == (431, "size")
    many = request()
    many["headers"] = [(b"x", b"y")] * 101
    assert refusal(at, many) == (431, "size")


@pytest.mark.parametrize(
    ("path", "route", "scope"),
    [
        ("/recommend", "/recommend", "recommend"),
        ("/recommend/", "/recommend", "recommend"),
        ("/recommendations", "other", "admin"),
        ("//recommend", "/", "admin"),
        ("/", "/", "admin"),
        ("", "other", "admin"),
        ("recommend", "other", "admin"),
        ("*", "other", "admin"),
        ("/Recommend", "other", "admin"),
        ("/readyz", "/readyz", None),
        ("/readyz/", "other", "admin"),
        ("/admin/model", "/admin", "admin"),
    ],
)
def test_what_is_not_listed_needs_admin(path: str, route: str, scope: str | None) -> None:
    assert label(path) == route
    assert needed(route) == scope


def test_a_path_with_a_line_break_is_of_no_route(keys: Path) -> None:
    """BentoML's own routing does not match it, and would answer in a form of its own."""
    assert refusal(door(keys), request("/similar/a\nb")) == (404, "path")

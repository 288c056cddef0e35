from pathlib import Path
from typing import Any

import pytest

from pipeline.serving.security.authorizer import Authorizer
from pipeline.serving.security.errors import AccessError
from pipeline.serving.security.keyring import KeyRing
from pipeline.serving.security.keys import create_key
from pipeline.serving.security.rate_limit import RateLimit
from pipeline.serving.security.routes import PROBES, REQUIRED_SCOPES, required_scope, route_label


def build_authorizer(
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


def refusal(authorizer: Authorizer, scope: dict[str, Any]) -> tuple[int, str]:
    with pytest.raises(AccessError) as error:
        authorizer.authorize(scope, route_label(scope["path"]))
    return error.value.status, error.value.reason


def authorize(authorizer: Authorizer, scope: dict[str, Any]) -> str | None:
    return authorizer.authorize(scope, route_label(scope["path"]))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.mark.parametrize("host", ["127.0.0.1:3000", "localhost", "[::1]:3000", "shop.localhost"])
def test_without_keys_this_machine_is_allowed(keys: Path, host: str) -> None:
    assert authorize(build_authorizer(keys), request(host=host)) is None


def test_without_keys_other_machines_are_refused_however_the_service_was_started(
    keys: Path,
) -> None:
    assert refusal(build_authorizer(keys), request(server="10.0.0.7")) == (403, "place")
    assert refusal(build_authorizer(keys), request(server="fe80::1")) == (403, "place")
    assert authorize(build_authorizer(keys), request("/readyz", server="10.0.0.7")) is None


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:3000", "[broken"])
def test_a_name_that_points_to_this_machine_is_refused(keys: Path, host: str) -> None:
    assert refusal(build_authorizer(keys), request(host=host)) == (403, "place")


def test_a_foreign_page_cannot_send_requests_from_a_browser_here(keys: Path) -> None:
    page = request(origin="https://evil.example")
    assert refusal(build_authorizer(keys), page) == (403, "origin")
    assert refusal(build_authorizer(keys), request(origin="null")) == (403, "origin")
    assert authorize(build_authorizer(keys, origins=["https://evil.example"]), page) is None
    assert (
        authorize(
            build_authorizer(keys), request(origin="http://localhost:3000", host="localhost:3000")
        )
        is None
    )


def test_with_keys_every_route_but_the_probes_requires_one(keys: Path) -> None:
    create_key(keys, "shop", ("recommend",))
    authorizer = build_authorizer(keys)
    for name in REQUIRED_SCOPES:
        assert refusal(authorizer, request(f"/{name}")) == (401, "key")
    assert refusal(authorizer, request("/nowhere")) == (401, "key")
    for name in PROBES:
        assert authorize(authorizer, request(name, server="10.0.0.7")) is None


def test_a_key_opens_from_anywhere_what_its_scope_says(keys: Path) -> None:
    shop = f"Bearer {create_key(keys, 'shop', ('recommend',))}"
    root = f"bearer  {create_key(keys, 'root', ('admin',))} "
    authorizer = build_authorizer(keys)
    far = {"server": "10.0.0.7", "host": "shop.example"}
    assert authorize(authorizer, request(authorization=shop, **far)) == "shop"
    assert authorize(authorizer, request("/explain/17", authorization=shop, **far)) == "shop"
    for path in ("/events", "/metrics", "/admin/model", "/nowhere", "/", "/readyz/x/../admin"):
        assert refusal(authorizer, request(path, authorization=shop, **far)) == (403, "scope")
    assert authorize(authorizer, request("/metrics", authorization=root, **far)) == "root"
    assert refusal(authorizer, request(authorization=f"Basic {shop}")) == (401, "key")


def test_a_key_that_asks_too_often_gets_the_time_to_wait(keys: Path) -> None:
    tokens = {name: create_key(keys, name, ("recommend",)) for name in ("a", "b")}
    authorizer = build_authorizer(keys, per_key=0.1)
    first = request(authorization=f"Bearer {tokens['a']}")
    assert authorize(authorizer, first) == "a"
    with pytest.raises(AccessError) as error:
        authorize(authorizer, first)
    assert error.value.status == 429
    assert error.value.headers == ((b"retry-after", b"10"),)
    assert authorize(authorizer, request(authorization=f"Bearer {tokens['b']}")) == "b"


def test_addresses_are_limited_only_if_asked_for(keys: Path) -> None:
    for _ in range(1_000):
        authorize(build_authorizer(keys), request())
    authorizer = build_authorizer(keys, per_address=0.5)
    authorize(authorizer, request())
    assert refusal(authorizer, request()) == (429, "rate")


def test_long_paths_and_headers_are_refused_also_of_probes(keys: Path) -> None:
    authorizer = build_authorizer(keys)
    assert refusal(authorizer, request("/recommend/" + "x" * 3_000)) == (414, "size")
    assert refusal(authorizer, request("/readyz", cookie="x" * 20_000)) == (431, "size")
    many = request()
    many["headers"] = [(b"x", b"y")] * 101
    assert refusal(authorizer, many) == (431, "size")


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
    assert route_label(path) == route
    assert required_scope(route) == scope


def test_a_path_with_a_line_break_is_of_no_route(keys: Path) -> None:
    """BentoML's own routing does not match it, and would answer in another form."""
    assert refusal(build_authorizer(keys), request("/similar/a\nb")) == (404, "path")

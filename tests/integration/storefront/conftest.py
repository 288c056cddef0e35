"""The storefront of a service on the fake bundle, in Chromium."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.event_store.store import EventStore
from pipeline.serving.api.app import build_app
from pipeline.serving.api.backend import Backend
from pipeline.serving.engine.engine import RecommendationEngine
from tests.support.fake_bundle import FakeBundle, serving_params
from tests.support.live import listening
from tests.support.storefront_page import CHROMIUM, INJECTION, TIMEOUT_MS, StorefrontPage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, EventStore]]:
    monkeypatch.chdir(tmp_path)
    bundle = FakeBundle()
    bundle.items["title"] = ["Bread", "Coffee", INJECTION, "Milk", None]
    params = serving_params()
    store = EventStore(f"sqlite:///{tmp_path / 'events.db'}")
    app = build_app()
    app.state.backend = Backend(RecommendationEngine(bundle, store, params), params, "EUR")
    with listening(app) as url:
        yield url, store
    app.state.backend.close()


@pytest.fixture
def enter(
    browser: "Browser", service: tuple[str, EventStore]
) -> Iterator[Callable[..., StorefrontPage]]:
    """Open a page; at the end, check that it asked only its service and logged only `expected`."""
    url, store = service
    pages: list[tuple[Page, StorefrontPage, list[str], list[str]]] = []

    def open_page(width: int = 1400, height: int = 900, **options: Any) -> StorefrontPage:
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        page.set_default_timeout(TIMEOUT_MS)
        addresses: list[str] = []
        messages: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("console", lambda message: messages.append(_text(message)))
        shop = StorefrontPage(url, store, page)
        pages.append((page, shop, addresses, messages))
        return shop

    yield open_page
    for page, shop, addresses, messages in pages:
        page.close()
        assert all(address.startswith(f"{url}/") for address in addresses)
        unexpected = [text for text in messages if not any(part in text for part in shop.expected)]
        assert unexpected == []


def _text(message: "ConsoleMessage") -> str:
    return f"{message.type}: {message.text}"


@pytest.fixture
def shop(enter: Callable[..., StorefrontPage]) -> StorefrontPage:
    return enter()

"""The storefront in Chromium, as tests see it: what it shows, and which events it sent."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from pipeline.event_store.store import EventStore

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

CHROMIUM = shutil.which("chromium")
TIMEOUT_MS = 30_000
INJECTION = "<img src=x onerror=\"document.title='broken in'\"><b>Jam & co</b>"
ANN = ["Milk", "Bread", INJECTION, "Coffee", "Black tea"]  # her recommendations

BROWSER_MARKS = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt install chromium"),
]


@dataclass
class StorefrontPage:
    """A page of the storefront, and the event store of its service."""

    url: str
    store: EventStore
    page: "Page"
    expected: list[str] = field(default_factory=list)

    def open(self, user_id: str = "", titles: list[str] | None = None) -> None:
        self.page.goto(f"{self.url}/#shopper={user_id}" if user_id else f"{self.url}/")
        if user_id:
            self.expect_titles(titles or ANN)

    def titles(self) -> list[str]:
        return self.page.locator("#tiles button.title").all_text_contents()

    def expect_titles(self, titles: list[str]) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator("#tiles button.title")).to_have_text(titles)

    def tile(self, title: str) -> "Locator":
        return self.page.get_by_role("article", name=title, exact=True)

    def add(self, title: str) -> "Locator":
        return self.page.get_by_role("button", name=f"Add to cart {title}", exact=True)

    def expect_status(self, text: str) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator("#list-status")).to_contain_text(text)

    def focused(self) -> str:
        text: str = self.page.evaluate("document.activeElement.textContent.trim()")
        return text

    def events(self) -> list[tuple[str, str, str, float]]:
        events = self.store.events_since(datetime(2000, 1, 1, tzinfo=UTC))
        return [
            (event.user_id, event.event_type, event.item_id, event.quantity) for event in events
        ]

    def hold_first(self, path: str) -> "list[Route]":
        """Hold the first request to `path` in the returned list; let all others pass."""
        held: list[Route] = []
        self.page.route(path, lambda route: route.continue_() if held else held.append(route))
        return held

    def wait_until(self, is_done: Callable[[], bool]) -> None:
        limit = time.monotonic() + TIMEOUT_MS / 1000
        while not is_done():
            assert time.monotonic() < limit
            self.page.wait_for_timeout(20)

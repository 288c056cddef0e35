"""The storefront in Chromium: what a shopper does with the mouse, and what the page shows."""

import json
import re

from pipeline.contracts.artefacts import write_verdict
from pipeline.contracts.verdicts import Verdict
from pipeline.serving.api.openapi import build_document
from tests.support.fake_bundle import AS_OF, serving_params
from tests.support.storefront_page import ANN, BROWSER_MARKS, INJECTION, StorefrontPage

pytestmark = BROWSER_MARKS


def test_a_shopper_can_be_searched_and_chosen(shop: StorefrontPage) -> None:
    shop.open()
    matches = shop.page.get_by_role("list", name="Shoppers").get_by_role("link")
    matches.nth(1).wait_for()
    assert [text[:3] for text in matches.all_text_contents()] == ["ann", "bob"]
    shop.page.get_by_label("Find a shopper by number").fill("an")
    shop.page.get_by_text("1 shopper shown with a number that begins with an.").wait_for()
    shop.page.get_by_role("link", name=re.compile("^ann 3 baskets")).click()
    shop.expect_titles(ANN)
    chosen = shop.page.get_by_role("region", name="Shopper")
    assert "Wed, 21 Feb 2024" in shop.page.locator("#baskets").inner_text()
    assert "21 Feb 2024" in chosen.inner_text()
    assert "Dairy, Bakery" in chosen.inner_text()
    assert "Fri, 1 Mar 2024, 18:00" in shop.page.get_by_role("banner").inner_text()
    milk = shop.tile("Milk").inner_text()
    assert "Repeat" in milk
    assert "You bought it 3 times" in milk
    assert "about €2.00" in milk
    assert "Explore" in shop.tile("Coffee").inner_text()


def test_an_unknown_number_is_reported(shop: StorefrontPage) -> None:
    shop.open()
    shop.page.get_by_label("Find a shopper by number").fill("zoe")
    shop.page.get_by_text("No shopper's number begins with zoe.").wait_for()


def test_a_new_shopper_sees_a_list_and_becomes_known_by_buying(shop: StorefrontPage) -> None:
    shop.open()
    shop.page.get_by_role("button", name="Continue as a new shopper").click()
    shop.add("Black tea").click()
    shop.page.get_by_role("button", name="Buy 1 product").click()
    shop.expect_status("You bought 1 product")
    assert shop.titles() == ["Bread", "Coffee", INJECTION, "Milk"]
    assert "Black tea" in shop.page.locator("#baskets").inner_text()
    (user,) = {user for user, *_ in shop.events()}
    assert user.startswith("new-")


def test_a_view_is_sent_once_and_moves_the_list(shop: StorefrontPage) -> None:
    shop.open("ann")
    title = shop.page.get_by_role("button", name="Black tea", exact=True)
    title.click()
    shop.expect_titles(["Milk", "Bread", INJECTION, "Black tea", "Coffee"])
    shop.expect_status("You viewed Black tea: 2 moved.")
    assert title.get_attribute("aria-expanded") == "true"
    assert "Moved up 1 place" in shop.tile("Black tea").text_content()  # type: ignore[operator]
    assert "Viewed" in shop.tile("Black tea").inner_text()
    assert "tea" in shop.tile("Black tea").get_by_role("definition").all_text_contents()
    title.click()
    assert title.get_attribute("aria-expanded") == "false"
    title.click()
    shop.add("Milk").click()
    shop.expect_status("Milk added to the cart")
    assert [kind for _, kind, _, _ in shop.events()] == ["view", "cart"]


def test_the_cart_takes_out_and_buys(shop: StorefrontPage) -> None:
    shop.open("ann")
    for title in ("Milk", "Black tea"):
        shop.add(title).click()
        shop.expect_status(f"{title} added to the cart")
    shop.expect_status("removed: Black tea")
    shop.expect_titles(["Bread", INJECTION, "Coffee"])
    shop.page.get_by_role("button", name="Remove Black tea").click()
    shop.expect_status("Black tea removed from the cart: 1 new")
    assert "New on the list" in shop.tile("Black tea").text_content()  # type: ignore[operator]
    shop.page.get_by_role("button", name="Buy 1 product").click()
    shop.expect_status("You bought 1 product")
    assert "The cart is empty." in shop.page.get_by_role("region", name="Cart").inner_text()
    assert "Fri, 1 Mar 2024" in shop.page.locator("#baskets summary").first.inner_text()
    assert "5 saved" not in shop.page.locator("#events").inner_text()
    assert "4 saved" in shop.page.locator("#events").inner_text()
    assert shop.events() == [
        ("ann", "cart", "milk", 1.0),
        ("ann", "cart", "tea", 1.0),
        ("ann", "cart", "tea", 0.0),
        ("ann", "purchase", "milk", 1.0),
    ]


def test_what_is_bought_together_is_one_basket_at_its_price(shop: StorefrontPage) -> None:
    shop.open("ann")
    for title in ("Milk", "Bread"):
        shop.add(title).click()
        shop.expect_status(f"{title} added to the cart")
    shop.page.get_by_role("button", name="Buy 2 products").click()
    shop.expect_status("You bought 2 products")
    bought = [event for event in shop.store.events_since(AS_OF) if event.event_type == "purchase"]
    assert len({(event.basket_id, event.timestamp) for event in bought}) == 1
    assert [event.price for event in bought] == [2.0, 2.0]


def test_the_cart_survives_a_reload(shop: StorefrontPage) -> None:
    shop.open("ann")
    shop.add("Milk").click()
    shop.expect_status("Milk added to the cart")
    shop.page.reload()
    shop.page.get_by_role("button", name="Remove Milk").wait_for()
    shop.expect_titles(ANN[1:])


def test_a_double_click_counts_once(shop: StorefrontPage) -> None:
    shop.open("ann")
    held = shop.hold_first("**/events")
    shop.add("Milk").dblclick()
    waiting = shop.page.get_by_role("button", name="Saving… Milk")
    waiting.wait_for()
    assert waiting.get_attribute("aria-disabled") == "true"
    waiting.click(force=True)
    held[0].continue_()
    shop.expect_status("Milk added to the cart")
    assert shop.events() == [("ann", "cart", "milk", 1.0)]


# Without the signal, the browser delivers the late answer and the page must ignore it.
WITHOUT_ABORT = """const real = window.fetch;
window.fetch = (path, options) => real(path, { ...options, signal: undefined });"""


def test_a_late_answer_never_replaces_a_newer_one(shop: StorefrontPage) -> None:
    shop.page.add_init_script(WITHOUT_ABORT)
    held = shop.hold_first("**/recommend")
    shop.page.goto(f"{shop.url}/#shopper=ann")
    shop.wait_until(lambda: len(held) == 1)
    shop.page.get_by_role("button", name="Choose another shopper").click()
    shop.page.get_by_role("link", name=re.compile("^bob")).click()
    bob = ["Black tea", "Bread", "Coffee", INJECTION, "Milk"]
    shop.expect_titles(bob)
    late = {"request_id": "0", "model_version": "late", "items": []}
    held[0].fulfill(json=late)
    shop.add("Bread").click()
    shop.expect_status("Bread added to the cart")
    shop.expect_titles([title for title in bob if title != "Bread"])
    assert "late" not in shop.page.locator("#model").inner_text()


def test_back_returns_to_the_former_shopper(shop: StorefrontPage) -> None:
    shop.open("ann")
    shop.page.get_by_role("button", name="Choose another shopper").click()
    shop.page.get_by_role("link", name=re.compile("^bob")).click()
    shop.page.get_by_text("products for shopper bob").wait_for()
    shop.page.go_back()
    shop.page.go_back()
    shop.page.get_by_text("products for shopper ann").wait_for()
    shop.expect_titles(ANN)


def test_the_panel_shows_the_model_its_latency_and_the_drift(shop: StorefrontPage) -> None:
    shop.open("ann")
    panel = shop.page.get_by_role("region", name="Service")
    assert "counting, version 0123456789ab" in panel.inner_text()
    assert re.search(r"\d+ ms", panel.inner_text())
    assert "Unknown." in panel.inner_text()
    write_verdict(
        Verdict(
            phase="monitoring",
            status="return",
            cause="recall fell",
            target_phase="training",
            action="fit again",
        )
    )
    shop.page.reload()
    panel.get_by_text("Needs work.").wait_for()
    assert "recall fell" in panel.inner_text()


def test_the_api_page_lists_every_route(shop: StorefrontPage) -> None:
    shop.page.goto(f"{shop.url}/docs")
    headings = shop.page.locator("#routes h2")
    headings.first.wait_for()
    paths = [
        f"{method.upper()}{path}"
        for path, methods in build_document(serving_params())["paths"].items()
        for method in methods
    ]
    assert headings.all_text_contents() == paths
    assert "user_id" in shop.page.locator("#recommend").inner_text()
    for text in shop.page.locator("#routes pre").all_text_contents():
        json.loads(text)

"""The storefront in Chromium when requests fail, and with ids and titles that contain HTML."""

from typing import TYPE_CHECKING

from tests.support.storefront_page import ANN, BROWSER_MARKS, INJECTION, StorefrontPage

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = BROWSER_MARKS


def test_a_refusal_is_shown_in_words_and_can_be_tried_again(shop: StorefrontPage) -> None:
    shop.expected = ["503"]
    error = {"wanted": "an answer in time", "received": "too much", "action": "Wait."}
    refuse = lambda route: route.fulfill(status=503, json={"error": error})  # noqa: E731
    shop.page.route("**/recommend", refuse)
    shop.page.goto(f"{shop.url}/#shopper=ann")
    alert = shop.page.get_by_role("alert")
    alert.get_by_text("Expected an answer in time, got too much. Wait.").wait_for()
    assert shop.titles() == []
    shop.page.unroute("**/recommend")
    alert.get_by_role("button", name="Try again").click()
    shop.expect_titles(ANN)
    assert not alert.is_visible()


def test_an_event_whose_answer_was_lost_is_sent_again_and_counts_once(shop: StorefrontPage) -> None:
    shop.expected = ["ERR_FAILED"]
    shop.open("ann")

    def lose(route: "Route") -> None:
        route.fetch()
        route.abort()

    shop.page.route("**/events", lose)
    shop.add("Milk").click()
    shop.page.get_by_text("The service cannot be reached.").wait_for()
    assert "1 not saved yet" in shop.page.locator("#events").inner_text()
    assert shop.titles() == ANN
    shop.page.unroute("**/events")
    shop.page.get_by_role("button", name="Try again").click()
    shop.expect_titles(ANN[1:])
    assert "1 saved" in shop.page.locator("#events").inner_text()
    assert len(shop.events()) == 1


def test_an_event_that_is_refused_is_given_up_and_the_cart_is_read_again(
    shop: StorefrontPage,
) -> None:
    shop.expected = ["422"]
    shop.open("ann")
    problem = {"wanted": "a known shop", "received": "another", "action": "Stop."}
    refuse = lambda route: route.fulfill(status=422, json={"error": problem})  # noqa: E731
    shop.page.route("**/events", refuse)
    shop.add("Milk").click()
    shop.page.get_by_role("alert").get_by_text("Expected a known shop").wait_for()
    shop.page.unroute("**/events")
    shop.page.get_by_role("button", name="Load again").click()
    shop.expect_titles(ANN)
    shop.add("Milk").click()
    shop.expect_titles(ANN[1:])


def test_an_error_without_words_gets_some(shop: StorefrontPage) -> None:
    shop.expected = ["502"]
    shop.page.route("**/storefront/status", lambda route: route.fulfill(status=502, body="<h1>x"))
    shop.open("ann")
    shop.page.get_by_role("alert").get_by_text("HTTP 502").wait_for()


def test_a_title_with_html_is_shown_as_text(shop: StorefrontPage) -> None:
    shop.open("ann")
    shop.page.get_by_role("button", name=INJECTION, exact=True).click()
    shop.expect_status(f"You viewed {INJECTION}")
    shop.add(INJECTION).click()
    shop.expect_status(f"{INJECTION} added to the cart")
    assert INJECTION in shop.page.get_by_role("region", name="Cart").inner_text()
    assert INJECTION in shop.page.locator("#baskets").inner_text()
    assert shop.page.title() == "Evergreen storefront"
    assert shop.page.locator("main img, main b").count() == 0


def test_a_shopper_s_id_with_html_is_shown_as_text(shop: StorefrontPage) -> None:
    shop.page.goto(f"{shop.url}/#shopper=%3Cb%3Eeve%2F%23%3C%2Fb%3E")
    shop.page.get_by_text("products for shopper <b>eve/#</b>").wait_for()
    assert shop.page.locator("#chosen-name").inner_text() == "<b>eve/#</b>"

"""The storefront in Chromium with the keyboard, on a phone, and for every reader."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.support.storefront_page import ANN, BROWSER_MARKS, INJECTION, StorefrontPage

pytestmark = BROWSER_MARKS


SMALLEST_TARGET = 24


def test_everything_can_be_done_with_keys(shop: StorefrontPage) -> None:
    shop.open()
    press = shop.page.keyboard.press
    shop.page.get_by_role("link", name=re.compile("^ann")).wait_for()
    press("Tab")
    assert shop.focused() == "Skip to the recommendations"
    for _ in range(2):
        press("Tab")
    shop.page.keyboard.type("ann")
    press("Enter")
    shop.page.locator("#matches a:focus").wait_for()
    press("Enter")
    shop.expect_titles(ANN)
    assert shop.focused() == "ann"
    press("Tab")
    assert shop.focused() == "Choose another shopper"
    press("Tab")
    assert shop.focused() == "Milk"
    assert shop.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press("Enter")
    shop.expect_status("You viewed Milk")
    assert shop.focused() == "Milk"
    press("Tab")
    assert shop.focused() == "Add to cart Milk"
    press("Enter")
    shop.expect_titles(ANN[1:])
    shop.page.locator(":focus", has_text=re.compile("^Bread$")).wait_for()
    press("Tab")
    press("Space")
    shop.expect_titles(ANN[2:])
    for _ in range(20):
        press("Tab")
        if shop.focused().startswith("Buy"):
            break
    press("Enter")
    shop.expect_status("You bought 2 products")
    assert shop.focused() == "Cart"


RING = """() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
  const node = document.activeElement, style = getComputedStyle(node);
  const inside = parseFloat(style.outlineOffset) < 0;
  let ground = [255, 255, 255];
  for (let at = inside ? node : node.parentElement; at; at = at.parentElement) {
    const colour = parts(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) { ground = colour; break; }
  }
  const [one, other] = [light(parts(style.outlineColor)), light(ground)];
  return {
    name: node.textContent.trim() || node.id,
    drawn: style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2,
    contrast: (Math.max(one, other) + .05) / (Math.min(one, other) + .05),
  };
}"""


LEAST_CONTRAST = 3  # WCAG 2.2, 1.4.11: what shows where the focus is


@pytest.mark.parametrize(("width", "path"), [(1400, "/"), (360, "/"), (1400, "/docs")])
def test_the_focus_ring_is_seen_wherever_the_focus_goes(
    enter: Callable[..., StorefrontPage], width: int, path: str
) -> None:
    shop = enter(width, 800)
    if path == "/docs":
        shop.page.goto(f"{shop.url}/docs")
        shop.page.locator("#routes section").first.wait_for()
    else:
        shop.open("ann")
        shop.add("Milk").click()
        shop.expect_status("Milk added to the cart")
        shop.page.locator("#list-status").click()  # the focus starts at the top of the page
    rings = _rings(shop)
    assert len(rings) > (10 if path == "/" else 0)
    assert [ring for ring in rings if not ring["drawn"]] == []
    assert [ring for ring in rings if ring["contrast"] < LEAST_CONTRAST] == []
    assert width > 1000 or any(ring["name"].startswith("Cart:") for ring in rings)


def _rings(shop: StorefrontPage) -> list[dict[str, Any]]:
    """How the ring looks at every stop of the Tab key, from the top of the page to its end."""
    shop.page.evaluate("document.activeElement.blur()")
    rings: list[dict[str, Any]] = []
    for _ in range(200):
        shop.page.keyboard.press("Tab")
        if shop.page.evaluate("document.activeElement === document.body"):
            return rings
        rings.append(shop.page.evaluate(RING))
    raise AssertionError(rings)


def test_a_colour_says_why_a_product_is_here_and_nothing_else(shop: StorefrontPage) -> None:
    colours: dict[str, set[str]] = {}
    for user in ("ann", "bob", "zoe"):
        shop.page.goto(f"{shop.url}/#shopper={user}")
        shop.page.get_by_text(f"products for shopper {user}").wait_for()
        for slot, colour in shop.page.evaluate(
            """() => [...document.querySelectorAll(".tile")].map(tile =>
              [tile.querySelector(".slot").textContent,
               getComputedStyle(tile.querySelector(".cover")).backgroundColor])"""
        ):
            colours.setdefault(slot, set()).add(colour)
    assert set(colours) == {"Repeat", "Explore", "Popular"}
    assert all(len(values) == 1 for values in colours.values())
    assert len({next(iter(values)) for values in colours.values()}) == len(colours)


def test_the_focus_stays_on_a_product_that_moves(shop: StorefrontPage) -> None:
    shop.open("ann")
    shop.page.get_by_role("button", name="Black tea", exact=True).press("Enter")
    shop.expect_titles(["Milk", "Bread", INJECTION, "Black tea", "Coffee"])
    assert shop.focused() == "Black tea"


def test_on_a_phone_nothing_is_cut_off_and_the_cart_is_one_touch_away(
    enter: Callable[..., StorefrontPage],
) -> None:
    shop = enter(360, 700)
    shop.open()
    _assert_fits(shop)
    shop.open("ann")
    shop.add("Milk").click()
    shop.expect_status("Milk added to the cart")
    _assert_fits(shop)
    bar = shop.page.get_by_role("link", name="Cart: 1 product, about €2.00")
    bar.click()
    assert shop.focused() == "Cart (1)"
    shop.page.get_by_role("button", name="Buy 1 product").click()
    shop.expect_status("You bought 1 product")
    assert not bar.is_visible()
    shop.page.goto(f"{shop.url}/docs")
    shop.page.locator("#recommend").wait_for()
    _assert_fits(shop)


def _assert_fits(shop: StorefrontPage) -> None:
    width = shop.page.evaluate("document.documentElement.scrollWidth")
    assert width <= shop.page.viewport_size["width"]  # type: ignore[index]
    small = shop.page.evaluate(
        """least => [...document.querySelectorAll("button, main a, input, summary")]
          .map(node => [node.textContent, node.getBoundingClientRect()])
          .filter(([, box]) => box.height && box.height < least).map(([text]) => text)""",
        SMALLEST_TARGET,
    )
    assert small == []


def test_who_wants_no_motion_sees_none(enter: Callable[..., StorefrontPage]) -> None:
    count = """window.glides = 0; const real = Element.prototype.animate;
        Element.prototype.animate = function (...all) { window.glides++;
        return real.apply(this, all); };"""
    glides = []
    for user, motion in (("zoe", "no-preference"), ("zac", "reduce")):
        shop = enter(reduced_motion=motion)
        shop.page.add_init_script(count)
        shop.open(user, ["Bread", "Coffee", INJECTION, "Milk", "Black tea"])
        shop.page.get_by_role("button", name="Milk", exact=True).click()
        shop.expect_status("You viewed Milk")
        glides.append(shop.page.evaluate("window.glides"))
    assert glides[0] > 0
    assert glides[1] == 0


def test_every_control_and_landmark_has_a_name(shop: StorefrontPage) -> None:
    shop.open("ann")
    shop.add("Milk").click()
    shop.expect_status("Milk added to the cart")
    for name in ("Shopper", "Recommended now", "Cart (1)", "Service", "Last baskets"):
        assert shop.page.get_by_role("region", name=name, exact=True).count() == 1
    assert shop.page.get_by_role("main").count() == 1
    assert shop.page.locator("html").get_attribute("lang") == "en"
    assert shop.page.get_by_role("heading", level=1).all_inner_texts() == ["Evergreen"]
    levels = shop.page.eval_on_selector_all(
        "h1, h2, h3", "nodes => nodes.filter(n => n.offsetParent).map(n => Number(n.tagName[1]))"
    )
    assert all(after - before <= 1 for before, after in pairwise(levels))
    names = shop.page.eval_on_selector_all(
        "button, a", "nodes => nodes.filter(n => n.offsetParent).map(n => n.textContent.trim())"
    )
    assert all(names)
    assert len(set(names)) == len(names)
    assert shop.page.locator("[role=status]").count() == 2


CONTRASTS = """() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
  const back = node => {
    for (; node; node = node.parentElement) {
      const colour = parts(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const weak = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let n = 0;
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !node.checkVisibility()) continue;
    n++;
    const [one, other] = [light(parts(getComputedStyle(node).color)), light(back(node))];
    const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
    if (ratio < 4.5) weak.push(`${texts.currentNode.data.trim()}: ${ratio.toFixed(2)}`);
  }
  return { n, weak };
}"""


COVERS = """() => document.querySelectorAll(".cover")
  .forEach((cover) => { cover.className = "cover slot-SLOT"; })"""


def test_every_text_stands_out_from_its_ground(shop: StorefrontPage) -> None:
    shop.open()
    contrasts = [shop.page.evaluate(CONTRASTS)]
    shop.open("ann")
    shop.page.get_by_role("button", name="Black tea", exact=True).click()
    shop.expect_status("You viewed Black tea")
    shop.add("Milk").click()
    shop.expect_status("Milk added to the cart")
    contrasts.append(shop.page.evaluate(CONTRASTS))
    held = shop.hold_first("**/events")
    shop.add("Bread").click()  # and the mouse stays on it
    shop.page.get_by_role("button", name="Saving… Bread").wait_for()
    contrasts.append(shop.page.evaluate(CONTRASTS))
    held[0].continue_()
    shop.expect_status("Bread added to the cart")
    for slot in ("repeat", "explore", "popular"):
        shop.page.evaluate(COVERS.replace("SLOT", slot))
        contrasts.append(shop.page.evaluate(CONTRASTS))
    shop.page.goto(f"{shop.url}/docs")
    shop.page.locator("#routes section").first.wait_for()
    contrasts.append(shop.page.evaluate(CONTRASTS))
    assert [page["weak"] for page in contrasts] == [[]] * len(contrasts)
    assert all(page["n"] > 15 for page in contrasts)

// The shoppers to choose from, the facts of the chosen one, and their last baskets.

import { DAY, HOUR, byId, count, element, onTheWall, sentence } from "./dom.js";

export function showFound({ shoppers, n_shoppers }, query) {
  byId("found-count").textContent = shoppers.length
    ? query
      ? `${count(shoppers.length, "shopper")} shown whose number begins with ${query}.`
      : `${n_shoppers.toLocaleString("en")} shoppers are known. Here are some who buy much, and some who buy little.`
    : `No shopper's number begins with ${query}. Correct it, or be a new shopper.`;
  byId("found").replaceChildren(
    ...shoppers.map((shopper) =>
      element(
        "li",
        {},
        element(
          "a",
          { href: address(shopper.user_id) },
          element("strong", {}, shopper.user_id),
          element("span", { class: "soft" }, inShort(shopper)),
        ),
      ),
    ),
  );
}

const PREFIX = "#shopper=";

export const address = (userId) => `${PREFIX}${encodeURIComponent(userId)}`;

// Whom the page's address names, null for nobody.
export function addressed(hash) {
  if (!hash.startsWith(PREFIX)) return null;
  try {
    return decodeURIComponent(hash.slice(PREFIX.length)) || null;
  } catch {
    return null; // typed by hand, and wrong
  }
}

function inShort(shopper) {
  if (!shopper.n_baskets) return "has bought nothing yet";
  const often = shopper.often.map(sentence).join(", ");
  return `${count(shopper.n_baskets, "basket")}${often ? ` · ${often}` : ""}`;
}

export function showChosen({ shopper }) {
  byId("chosen-name").textContent = shopper.user_id;
  const facts = [
    ["Baskets", shopper.n_baskets.toLocaleString("en")],
    ["Products", shopper.n_products.toLocaleString("en")],
    ["Last basket", shopper.last_basket ? onTheWall(shopper.last_basket, DAY) : "none yet"],
    ["Often buys", shopper.often.map(sentence).join(", ") || "not known yet"],
  ];
  byId("chosen-facts").replaceChildren(
    ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );
}

export function showBaskets({ baskets }) {
  byId("baskets").replaceChildren(
    ...(baskets.length
      ? baskets.map((basket, at) => basketOf(basket, at === 0))
      : [element("p", { class: "soft" }, "No basket yet. The list shows what is popular.")]),
  );
}

function basketOf(basket, open) {
  const lines = basket.lines.map(({ product, quantity }) =>
    element("li", {}, product.title, quantity > 1 ? ` × ${quantity.toLocaleString("en")}` : ""),
  );
  return element(
    "details",
    { open },
    element(
      "summary",
      {},
      onTheWall(basket.paid_at, HOUR),
      element("span", { class: "soft" }, count(lines.length, "product")),
    ),
    element("ul", {}, ...lines),
  );
}

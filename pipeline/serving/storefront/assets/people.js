// The list of shoppers, the summary of the chosen shopper, and their last baskets.

import { DAY, HOUR, byId, count, element, formatTime, sentence } from "./dom.js";

export function showMatches({ shoppers, n_shoppers }, query) {
  byId("match-count").textContent = shoppers.length
    ? query
      ? `${count(shoppers.length, "shopper")} shown with a number that begins with ${query}.`
      : `${n_shoppers.toLocaleString("en")} shoppers are known. This selection ranges from frequent to rare buyers.`
    : `No shopper's number begins with ${query}. Correct it, or continue as a new shopper.`;
  byId("matches").replaceChildren(
    ...shoppers.map((shopper) =>
      element(
        "li",
        {},
        element(
          "a",
          { href: addressOf(shopper.user_id) },
          element("strong", {}, shopper.user_id),
          element("span", { class: "soft" }, summarize(shopper)),
        ),
      ),
    ),
  );
}

const PREFIX = "#shopper=";

export const addressOf = (userId) => `${PREFIX}${encodeURIComponent(userId)}`;

// Returns the shopper that the URL names, or null.
export function readAddress(hash) {
  if (!hash.startsWith(PREFIX)) return null;
  try {
    return decodeURIComponent(hash.slice(PREFIX.length)) || null;
  } catch {
    return null; // an invalid URL, typed by hand
  }
}

function summarize(shopper) {
  if (!shopper.n_baskets) return "no baskets yet";
  const often = shopper.often.map(sentence).join(", ");
  return `${count(shopper.n_baskets, "basket")}${often ? ` · ${often}` : ""}`;
}

export function showChosen({ shopper }) {
  byId("chosen-name").textContent = shopper.user_id;
  const facts = [
    ["Baskets", shopper.n_baskets.toLocaleString("en")],
    ["Products", shopper.n_products.toLocaleString("en")],
    ["Last basket", shopper.last_basket ? formatTime(shopper.last_basket, DAY) : "none yet"],
    ["Often buys", shopper.often.map(sentence).join(", ") || "unknown"],
  ];
  byId("chosen-facts").replaceChildren(
    ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );
}

export function showBaskets({ baskets }) {
  byId("baskets").replaceChildren(
    ...(baskets.length
      ? baskets.map((basket, at) => basketOf(basket, at === 0))
      : [element("p", { class: "soft" }, "No basket yet. The list shows popular products.")]),
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
      formatTime(basket.paid_at, HOUR),
      element("span", { class: "soft" }, count(lines.length, "product")),
    ),
    element("ul", {}, ...lines),
  );
}

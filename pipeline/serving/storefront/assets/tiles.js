// The recommended products as tiles. A tile exists as long as its product is on the list, so focus
// and opened details persist; after a change, tiles glide to their new places.

import { mark } from "./changes.js";
import { byId, element, money, sentence } from "./dom.js";

const GLIDE = { duration: 450, easing: "cubic-bezier(.2,.7,.2,1)" };
const SLOTS = { repeat: "Repeat", explore: "Explore", popular: "Popular" };
const PLACEHOLDERS = 6;

let lastNumber = 0;

export class Tiles {
  // view(item) is called when details are opened, add(item) when a product goes to the cart.
  constructor({ view, add }) {
    this.list = byId("tiles");
    this.byItem = new Map();
    this.view = view;
    this.add = add;
  }

  clear() {
    this.byItem.clear();
    this.list.replaceChildren();
  }

  wait() {
    this.clear();
    const blanks = Array.from({ length: PLACEHOLDERS }, () =>
      element("li", { class: "tile blank", "aria-hidden": "true" }),
    );
    this.list.replaceChildren(...blanks);
  }

  // items: the answer's items with their products. changes: by item id, empty for a first list.
  show(items, changes, { viewed, busy }) {
    const before = this.#places();
    const focused = document.activeElement;
    const tiles = new Map();
    for (const item of items) {
      const tile = this.byItem.get(item.item_id) ?? this.#make(item);
      tiles.set(item.item_id, tile);
      this.#update(tile, item, changes.get(item.item_id));
    }
    const rows = [...tiles.values()].map((tile) => tile.row);
    if (!sameOrder(rows, [...this.list.children])) this.list.replaceChildren(...rows);
    this.byItem = tiles;
    this.mark({ viewed, busy });
    if (focused !== document.activeElement && this.list.contains(focused)) {
      focused.focus({ preventScroll: true });
    }
    this.#glide(before);
  }

  // Marks the products that were viewed, and those with an action in progress.
  mark({ viewed, busy }) {
    for (const [id, tile] of this.byItem) {
      tile.viewed.hidden = !viewed.has(id);
      const isSaving = busy.has(`cart:${id}`);
      tile.add.setAttribute("aria-disabled", String(isSaving));
      tile.add.firstChild.data = isSaving ? "Saving…" : "Add to cart";
    }
  }

  focusAt(place) {
    const row = this.list.children[Math.min(place, this.list.children.length - 1)];
    row?.querySelector("button.title")?.focus({ preventScroll: true });
  }

  placeOf(id) {
    return [...this.byItem.keys()].indexOf(id);
  }

  #make(first) {
    const tile = { item: first };
    const number = ++lastNumber;
    const details = element("dl", { class: "details", id: `details-${number}`, hidden: true });
    tile.title = element("button", {
      type: "button",
      class: "title",
      id: `title-${number}`,
      "aria-expanded": "false",
      "aria-controls": details.id,
    });
    tile.title.addEventListener("click", () => {
      details.hidden = !details.hidden;
      tile.title.setAttribute("aria-expanded", String(!details.hidden));
      if (!details.hidden) this.view(tile.item);
    });
    tile.add = element("button", { type: "button", class: "add" }, "Add to cart");
    tile.add.append(element("span", { class: "unseen" }, ""));
    tile.add.addEventListener("click", () => this.add(tile.item));
    tile.details = details;
    tile.rank = element("span", { class: "rank" });
    tile.department = element("span", { class: "department" });
    tile.category = element("span", { class: "category" });
    tile.cover = element("div", { class: "cover" }, tile.rank, tile.department, tile.category);
    tile.slot = element("span");
    tile.change = element("span", { hidden: true });
    tile.viewed = element("span", { class: "seen", hidden: true }, "Viewed");
    tile.reasons = element("ul", { class: "reasons", "aria-label": "Reasons" });
    tile.price = element("span", { class: "price" });
    tile.row = element(
      "li",
      { class: "tile" },
      element(
        "article",
        { "aria-labelledby": tile.title.id },
        tile.cover,
        element("p", { class: "marks" }, tile.slot, tile.change, tile.viewed),
        element("h3", {}, tile.title),
        tile.reasons,
        details,
        element("div", { class: "offer" }, tile.price, tile.add),
      ),
    );
    return tile;
  }

  #update(tile, item, change) {
    const { product } = item;
    tile.item = item;
    tile.title.textContent = item.title;
    tile.add.lastChild.textContent = ` ${item.title}`;
    tile.rank.textContent = item.rank;
    tile.department.textContent = sentence(product.department || "Unknown department");
    tile.category.textContent = sentence(product.category || item.title);
    tile.cover.className = `cover slot-${item.slot}`;
    tile.slot.className = `slot slot-${item.slot}`;
    tile.slot.textContent = SLOTS[item.slot];
    const shown = mark(change);
    tile.change.hidden = !shown;
    tile.change.className = `change ${change === "new" ? "fresh" : "moved"}`;
    tile.change.replaceChildren(
      element("span", { "aria-hidden": "true" }, shown?.text ?? ""),
      element("span", { class: "unseen" }, shown?.words ?? ""),
    );
    tile.reasons.replaceChildren(...item.reasons.map((reason) => element("li", {}, reason)));
    tile.price.textContent = product.price === null ? "" : `about ${money(product.price)}`;
    tile.details.replaceChildren(
      ...fact("Department", sentence(product.department || "unknown")),
      ...fact("Category", sentence(product.category || "unknown")),
      ...fact("Product number", item.item_id),
      ...fact("Score", item.score.toFixed(3)),
    );
  }

  #places() {
    return new Map(
      [...this.byItem].map(([id, tile]) => [id, tile.row.getBoundingClientRect()]),
    );
  }

  #glide(before) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    for (const [id, tile] of this.byItem) {
      const from = before.get(id);
      const to = tile.row.getBoundingClientRect();
      if (!from) {
        tile.row.animate([{ opacity: 0, scale: 0.96 }, { opacity: 1, scale: 1 }], GLIDE);
      } else if (from.left !== to.left || from.top !== to.top) {
        const shift = `${from.left - to.left}px ${from.top - to.top}px`;
        tile.row.animate([{ translate: shift }, { translate: "0 0" }], GLIDE);
      }
    }
  }
}

const fact = (name, value) => [element("dt", {}, name), element("dd", {}, value)];

const sameOrder = (one, other) =>
  one.length === other.length && one.every((row, at) => row === other[at]);

// The cart, as the service knows it.

import { byId, count, element, money } from "./dom.js";

export class Cart {
  constructor({ remove }) {
    this.products = new Map();
    this.remove = remove;
  }

  fill(products) {
    this.products = new Map(products.map((product) => [product.item_id, product]));
  }

  // Returns whether a cart action or a purchase is in progress.
  isWaiting(busy) {
    return [...busy].some((key) => !key.startsWith("view:"));
  }

  show(busy) {
    const products = [...this.products.values()];
    byId("cart-title").textContent = products.length ? `Cart (${products.length})` : "Cart";
    byId("cart-lines").replaceChildren(...products.map((product) => this.#line(product, busy)));
    byId("cart-empty").hidden = products.length > 0;
    byId("cart-total").hidden = products.length === 0;
    byId("cart-total").textContent = `Total: about ${money(total(products))}`;
    const buy = byId("buy");
    buy.hidden = products.length === 0;
    buy.setAttribute("aria-disabled", String(this.isWaiting(busy)));
    buy.textContent = busy.has("buy") ? "Saving…" : `Buy ${count(products.length, "product")}`;
    const bar = byId("cart-bar");
    bar.hidden = products.length === 0;
    bar.textContent = `Cart: ${count(products.length, "product")}, about ${money(total(products))}`;
  }

  #line(product, busy) {
    const isSaving = busy.has(`cart:${product.item_id}`);
    const button = element(
      "button",
      { type: "button", class: "quiet", "aria-disabled": String(isSaving) },
      isSaving ? "Saving…" : "Remove",
      element("span", { class: "unseen" }, ` ${product.title}`),
    );
    button.addEventListener("click", () => this.remove(product));
    const price = product.price === null ? "" : money(product.price);
    const title = element("span", { class: "what" }, product.title);
    return element("li", {}, title, element("span", { class: "price" }, price), button);
  }
}

const total = (products) => products.reduce((sum, { price }) => sum + (price ?? 0), 0);

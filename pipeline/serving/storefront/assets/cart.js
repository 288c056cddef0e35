// The cart: what the service knows to be in it.

import { byId, count, element, money } from "./dom.js";

export class Cart {
  constructor({ remove }) {
    this.products = new Map();
    this.remove = remove;
  }

  fill(products) {
    this.products = new Map(products.map((product) => [product.item_id, product]));
  }

  // Whether something of the cart is still on its way to the service.
  isWaiting(busy) {
    return [...busy].some((key) => !key.startsWith("view:"));
  }

  show(busy) {
    const products = [...this.products.values()];
    byId("cart-title").textContent = products.length ? `Cart (${products.length})` : "Cart";
    byId("cart-lines").replaceChildren(...products.map((product) => this.#line(product, busy)));
    byId("cart-empty").hidden = products.length > 0;
    byId("cart-total").hidden = products.length === 0;
    byId("cart-total").textContent = `About ${money(total(products))} in all`;
    const buy = byId("buy");
    buy.hidden = products.length === 0;
    buy.setAttribute("aria-disabled", String(this.isWaiting(busy)));
    buy.textContent = busy.has("buy") ? "Saving…" : `Buy ${count(products.length, "product")}`;
    const bar = byId("cart-bar");
    bar.hidden = products.length === 0;
    bar.textContent = `Cart: ${count(products.length, "product")}, about ${money(total(products))}`;
  }

  #line(product, busy) {
    const waits = busy.has(`cart:${product.item_id}`);
    const button = element(
      "button",
      { type: "button", class: "quiet", "aria-disabled": String(waits) },
      waits ? "Saving…" : "Take out",
      element("span", { class: "unseen" }, ` ${product.title}`),
    );
    button.addEventListener("click", () => this.remove(product));
    const price = product.price === null ? "" : money(product.price);
    const title = element("span", { class: "what" }, product.title);
    return element("li", {}, title, element("span", { class: "price" }, price), button);
  }
}

const total = (products) => products.reduce((sum, { price }) => sum + (price ?? 0), 0);

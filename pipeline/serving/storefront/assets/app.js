// The storefront: one shopper at a time. The address says who, so Back works.
// An answer is shown only if nothing newer was asked meanwhile.

import { Problem, get, post } from "./api.js";
import { Cart } from "./cart.js";
import { changes, summary } from "./changes.js";
import { Clock } from "./clock.js";
import { HOUR, byId, onTheWall } from "./dom.js";
import { Outbox, newId } from "./outbox.js";
import { showEvents, showLatency, showStatus } from "./panel.js";
import { address, addressed, showBaskets, showChosen, showFound } from "./people.js";
import { Tiles } from "./tiles.js";

const TYPING_MS = 150;
const BOUGHT_HOURS = 1; // who has just bought a product is not offered it again at once

const state = {
  userId: null,
  clock: null,
  shown: [], // item ids with titles, as listed
  viewed: new Set(),
  busy: new Set(), // what waits for the service: "cart:<item>", "buy"
};
const products = new Map();
const newest = { list: null, shopper: null, search: null };
const tiles = new Tiles({ look, add });
const cart = new Cart({ remove });
const outbox = new Outbox(
  () => showEvents(outbox),
  (problem) => trouble(problem, () => outbox.flush()),
);

// Gives up what was asked before for the same purpose, and returns the signal of what is asked now.
function newer(purpose) {
  newest[purpose]?.abort();
  newest[purpose] = new AbortController();
  return newest[purpose].signal;
}

// Runs `work`; a problem is told, with a way to try again.
async function attempt(purpose, work) {
  const signal = newer(purpose);
  try {
    await work(signal);
  } catch (problem) {
    if (signal.aborted) return;
    trouble(problem, () => attempt(purpose, work));
  }
}

function trouble(problem, again) {
  if (!(problem instanceof Problem)) throw problem; // a mistake of this page: for the console
  const box = byId("problem");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = problem.mayRetry ? "Try again" : "Load again";
  button.addEventListener("click", () => {
    calm();
    again();
  });
  byId("shelf").removeAttribute("aria-busy");
  if (!state.shown.length) tiles.clear();
  box.replaceChildren(problem.message, button);
  box.hidden = false;
}

function calm() {
  byId("problem").hidden = true;
  byId("problem").replaceChildren();
}

const say = (words) => {
  byId("said").textContent = words;
};

// --- choosing a shopper

function search() {
  const query = byId("query").value.trim();
  return attempt("search", async (signal) => {
    const found = await get(`/storefront/shoppers?query=${encodeURIComponent(query)}`, signal);
    showFound(found, query);
  });
}

// byHand: the focus was on what is gone now.
function choose(byHand) {
  const userId = addressed(location.hash);
  newer("list");
  calm();
  if (outbox.size) outbox.flush();
  state.userId = userId;
  state.busy = new Set();
  state.shown = [];
  byId("legend").hidden = true;
  say("");
  for (const id of ["cart", "history", "chosen", "cart-bar"]) byId(id).hidden = true;
  byId("chooser").hidden = userId !== null;
  byId("welcome").hidden = userId !== null;
  tiles.clear();
  if (userId === null) {
    newer("shopper");
    byId("clock").textContent = "";
    return search();
  }
  byId("shelf").setAttribute("aria-busy", "true");
  tiles.wait();
  return attempt("shopper", async (signal) => {
    await readShopper(signal);
    if (byHand) byId("chosen-name").focus({ preventScroll: true });
    await refresh("");
  });
}

async function readShopper(signal) {
  const found = await get(`/storefront/shoppers/${encodeURIComponent(state.userId)}`, signal);
  state.clock = new Clock(found.now);
  state.viewed = new Set(found.viewed);
  remember(found.cart);
  cart.fill(found.cart);
  showChosen(found);
  showBaskets(found);
  byId("clock").textContent = `In the shop it is ${onTheWall(found.now, HOUR)}`;
  for (const id of ["cart", "history", "chosen"]) byId(id).hidden = false;
  mark();
}

function mark() {
  cart.show(state.busy);
  tiles.mark(state);
}

// --- the list

function refresh(because) {
  byId("shelf").setAttribute("aria-busy", "true");
  return attempt("list", async (signal) => {
    const started = performance.now();
    const at = state.clock.next();
    const request = { user_id: state.userId, at, bought_hours: BOUGHT_HOURS };
    const answer = await post("/recommend", request, signal);
    showLatency(performance.now() - started);
    await describe(answer.items, signal);
    list(answer.items, because);
    if (!byId("model").textContent.endsWith(answer.model_version)) readStatus();
  });
}

// Learns department, category and price of products that were not seen before.
async function describe(items, signal) {
  const unknown = items.filter(({ item_id: id }) => !products.has(id));
  if (unknown.length) {
    const query = unknown.map(({ item_id: id }) => `id=${encodeURIComponent(id)}`).join("&");
    remember((await get(`/storefront/items?${query}`, signal)).items);
  }
  const blank = { department: "", category: "", price: null };
  for (const item of items) item.product = products.get(item.item_id) ?? { ...blank, ...item };
}

function remember(found) {
  for (const product of found) products.set(product.item_id, product);
}

function list(items, because) {
  const before = state.shown;
  const after = items.map(({ item_id: id, title }) => [id, title]);
  const found = because ? changes(before.map(([id]) => id), after.map(([id]) => id)) : new Map();
  const gone = before.filter(([id]) => !after.some(([other]) => other === id));
  state.shown = after;
  tiles.show(items, found, state);
  byId("legend").hidden = false;
  byId("shelf").removeAttribute("aria-busy");
  say(
    because
      ? `${because}: ${summary(found, gone.map(([, title]) => title))}`
      : `${items.length} products for shopper ${state.userId}.`,
  );
}

// --- what the shopper does

// Sends events once: a second click on what is still on its way does nothing.
async function act(key, events, done) {
  const { userId, busy } = state;
  if (busy.has(key) || busy.has("buy")) return;
  busy.add(key);
  mark();
  try {
    await outbox.put(events.map((event) => ({ ...event, user_id: userId })));
  } catch (problem) {
    busy.delete(key);
    mark();
    trouble(problem, () => choose(true));
    return;
  }
  busy.delete(key);
  if (state.busy !== busy) return; // another shopper was chosen meanwhile
  calm();
  await done();
}

const event = (type, product, more = {}) => ({
  event_type: type,
  item_id: product.item_id,
  timestamp: state.clock.next(),
  ...more,
});

function look(item) {
  if (state.viewed.has(item.item_id)) return;
  act(`view:${item.item_id}`, [event("view", item.product)], () => {
    state.viewed.add(item.item_id);
    mark();
    return refresh(`You looked at ${item.title}`);
  });
}

function add({ item_id: id, title, product }) {
  act(`cart:${id}`, [event("cart", product)], async () => {
    cart.products.set(id, product);
    mark();
    const place = tiles.placeOf(id);
    const held = place >= 0 && tiles.byItem.get(id).row.contains(document.activeElement);
    await refresh(`${title} is in the cart`);
    if (held && tiles.placeOf(id) < 0) tiles.focusAt(place);
  });
}

function remove(product) {
  act(`cart:${product.item_id}`, [event("cart", product, { quantity: 0 })], () => {
    cart.products.delete(product.item_id);
    mark();
    byId("cart-title").focus({ preventScroll: true });
    return refresh(`${product.title} is out of the cart`);
  });
}

function buy() {
  if (cart.isWaiting(state.busy)) return;
  const basket = newId("basket");
  const timestamp = state.clock.next();
  const lines = [...cart.products.values()].map((product) =>
    event("purchase", product, { timestamp, basket_id: basket, price: product.price ?? 0 }),
  );
  act("buy", lines, async () => {
    cart.fill([]);
    mark();
    byId("cart-title").focus({ preventScroll: true });
    await attempt("shopper", readShopper);
    await refresh(lines.length === 1 ? "You bought it" : `You bought ${lines.length} products`);
  });
}

// --- start

async function readStatus() {
  try {
    showStatus(await get("/storefront/status"));
  } catch (problem) {
    trouble(problem, readStatus);
  }
}

let typing;
byId("query").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, TYPING_MS);
});
byId("find").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  clearTimeout(typing);
  await search();
  byId("found").querySelector("a")?.focus();
});
byId("newcomer").addEventListener("click", () => {
  location.hash = address(newId("new", 3));
});
byId("change").addEventListener("click", () => {
  location.hash = "";
  byId("query").focus();
});
byId("buy").addEventListener("click", buy);
for (const [link, target] of [["skip", "shelf"], ["cart-bar", "cart-title"]]) {
  byId(link).addEventListener("click", (clicked) => {
    clicked.preventDefault(); // the address stays that of the shopper
    byId(target).focus();
    byId(target).scrollIntoView();
  });
}
addEventListener("hashchange", () => choose(true));
addEventListener("beforeunload", (leaving) => {
  if (outbox.size) leaving.preventDefault(); // the browser asks whether to leave
});
readStatus();
choose(false);

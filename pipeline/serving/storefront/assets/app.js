// The storefront shows one shopper at a time. The URL names the shopper, so Back works.
// An answer is shown only if no newer request was sent meanwhile.

import { Problem, get, post } from "./api.js";
import { Cart } from "./cart.js";
import { changes, summary } from "./changes.js";
import { Clock } from "./clock.js";
import { HOUR, byId, formatTime } from "./dom.js";
import { Outbox, newId } from "./outbox.js";
import { showEvents, showLatency, showStatus } from "./panel.js";
import { addressOf, readAddress, showBaskets, showChosen, showMatches } from "./people.js";
import { Tiles } from "./tiles.js";

const TYPING_MS = 150;
const BOUGHT_HOURS = 1; // products that were just bought are not offered again for this time

const state = {
  userId: null,
  clock: null,
  shown: [], // item ids and titles by rank
  viewed: new Set(),
  busy: new Set(), // actions in progress: "view:<item>", "cart:<item>", "buy"
};
const products = new Map();
const controllers = { list: null, shopper: null, search: null };
const tiles = new Tiles({ view, add });
const cart = new Cart({ remove });
const outbox = new Outbox(
  () => showEvents(outbox),
  (problem) => showProblem(problem, () => outbox.flush()),
);

// Aborts the previous request for the same purpose, and returns the signal for the next one.
function replaceRequest(purpose) {
  controllers[purpose]?.abort();
  controllers[purpose] = new AbortController();
  return controllers[purpose].signal;
}

// Runs `work`, and shows a problem with a button to try again.
async function attempt(purpose, work) {
  const signal = replaceRequest(purpose);
  try {
    await work(signal);
  } catch (problem) {
    if (signal.aborted) return;
    showProblem(problem, () => attempt(purpose, work));
  }
}

function showProblem(problem, retry) {
  if (!(problem instanceof Problem)) throw problem; // a bug of this page, for the console
  const box = byId("problem");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = problem.mayRetry ? "Try again" : "Load again";
  button.addEventListener("click", () => {
    hideProblem();
    retry();
  });
  byId("recommendations").removeAttribute("aria-busy");
  if (!state.shown.length) tiles.clear();
  box.replaceChildren(problem.message, button);
  box.hidden = false;
}

function hideProblem() {
  byId("problem").hidden = true;
  byId("problem").replaceChildren();
}

const setStatus = (text) => {
  byId("list-status").textContent = text;
};

// --- choosing a shopper

function search() {
  const query = byId("query").value.trim();
  return attempt("search", async (signal) => {
    const path = `/storefront/shoppers?query=${encodeURIComponent(query)}`;
    showMatches(await get(path, signal), query);
  });
}

// byHand: the shopper was chosen on this page, so the focus moves to the name.
function choose(byHand) {
  const userId = readAddress(location.hash);
  replaceRequest("list");
  hideProblem();
  if (outbox.size) outbox.flush();
  state.userId = userId;
  state.busy = new Set();
  state.shown = [];
  byId("legend").hidden = true;
  setStatus("");
  for (const id of ["cart", "history", "chosen", "cart-bar"]) byId(id).hidden = true;
  byId("chooser").hidden = userId !== null;
  byId("welcome").hidden = userId !== null;
  tiles.clear();
  if (userId === null) {
    replaceRequest("shopper");
    byId("clock").textContent = "";
    return search();
  }
  byId("recommendations").setAttribute("aria-busy", "true");
  tiles.wait();
  return attempt("shopper", async (signal) => {
    await readShopper(signal);
    if (byHand) byId("chosen-name").focus({ preventScroll: true });
    await refresh("");
  });
}

async function readShopper(signal) {
  const path = `/storefront/shoppers/${encodeURIComponent(state.userId)}`;
  const history = await get(path, signal);
  state.clock = new Clock(history.now);
  state.viewed = new Set(history.viewed);
  addProducts(history.cart);
  cart.fill(history.cart);
  showChosen(history);
  showBaskets(history);
  byId("clock").textContent = `Shop time: ${formatTime(history.now, HOUR)}`;
  for (const id of ["cart", "history", "chosen"]) byId(id).hidden = false;
  mark();
}

function mark() {
  cart.show(state.busy);
  tiles.mark(state);
}

// --- the list

function refresh(cause) {
  byId("recommendations").setAttribute("aria-busy", "true");
  return attempt("list", async (signal) => {
    const started = performance.now();
    const at = state.clock.next();
    const request = { user_id: state.userId, at, bought_hours: BOUGHT_HOURS };
    const answer = await post("/recommend", request, signal);
    showLatency(performance.now() - started);
    await addDetails(answer.items, signal);
    showList(answer.items, cause);
    if (!byId("model").textContent.endsWith(answer.model_version)) readStatus();
  });
}

// Loads department, category and price of products that are not yet known.
async function addDetails(items, signal) {
  const unknown = items.filter(({ item_id: id }) => !products.has(id));
  if (unknown.length) {
    const query = unknown.map(({ item_id: id }) => `id=${encodeURIComponent(id)}`).join("&");
    addProducts((await get(`/storefront/items?${query}`, signal)).items);
  }
  const blank = { department: "", category: "", price: null };
  for (const item of items) item.product = products.get(item.item_id) ?? { ...blank, ...item };
}

function addProducts(added) {
  for (const product of added) products.set(product.item_id, product);
}

function showList(items, cause) {
  const before = state.shown;
  const after = items.map(({ item_id: id, title }) => [id, title]);
  const ids = (pairs) => pairs.map(([id]) => id);
  const moves = cause ? changes(ids(before), ids(after)) : new Map();
  const removed = before.filter(([id]) => !ids(after).includes(id));
  state.shown = after;
  tiles.show(items, moves, state);
  byId("legend").hidden = false;
  byId("recommendations").removeAttribute("aria-busy");
  setStatus(
    cause
      ? `${cause}: ${summary(moves, removed.map(([, title]) => title))}`
      : `${items.length} products for shopper ${state.userId}.`,
  );
}

// --- the shopper's actions

// Sends events once: a second click during the request does nothing.
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
    showProblem(problem, () => choose(true));
    return;
  }
  busy.delete(key);
  if (state.busy !== busy) return; // another shopper was chosen meanwhile
  hideProblem();
  await done();
}

const event = (type, product, more = {}) => ({
  event_type: type,
  item_id: product.item_id,
  timestamp: state.clock.next(),
  ...more,
});

function view(item) {
  if (state.viewed.has(item.item_id)) return;
  act(`view:${item.item_id}`, [event("view", item.product)], () => {
    state.viewed.add(item.item_id);
    mark();
    return refresh(`You viewed ${item.title}`);
  });
}

function add({ item_id: id, title, product }) {
  act(`cart:${id}`, [event("cart", product)], async () => {
    cart.products.set(id, product);
    mark();
    const place = tiles.placeOf(id);
    const hadFocus = place >= 0 && tiles.byItem.get(id).row.contains(document.activeElement);
    await refresh(`${title} added to the cart`);
    if (hadFocus && tiles.placeOf(id) < 0) tiles.focusAt(place);
  });
}

function remove(product) {
  act(`cart:${product.item_id}`, [event("cart", product, { quantity: 0 })], () => {
    cart.products.delete(product.item_id);
    mark();
    byId("cart-title").focus({ preventScroll: true });
    return refresh(`${product.title} removed from the cart`);
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
    await refresh(lines.length === 1 ? "You bought 1 product" : `You bought ${lines.length} products`);
  });
}

// --- start

async function readStatus() {
  try {
    showStatus(await get("/storefront/status"));
  } catch (problem) {
    showProblem(problem, readStatus);
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
  byId("matches").querySelector("a")?.focus();
});
byId("newcomer").addEventListener("click", () => {
  location.hash = addressOf(newId("new", 3));
});
byId("change").addEventListener("click", () => {
  location.hash = "";
  byId("query").focus();
});
byId("buy").addEventListener("click", buy);
for (const [link, target] of [["skip", "recommendations"], ["cart-bar", "cart-title"]]) {
  byId(link).addEventListener("click", (clicked) => {
    clicked.preventDefault(); // the URL keeps naming the shopper
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

// DOM and format helpers. Text from the service is inserted as text nodes, never as HTML.

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") node.className = value;
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// "BAKED BREAD/BUNS" -> "Baked bread/buns"; text in mixed case keeps its case.
export function sentence(text) {
  const lower = text === text.toUpperCase() ? text.toLowerCase() : text;
  return lower.charAt(0).toUpperCase() + lower.slice(1);
}

// Formats an amount in the currency of the page, or as a plain number if it has none.
const { currency } = document.documentElement.dataset;
const MONEY = currency
  ? { style: "currency", currency }
  : { minimumFractionDigits: 2, maximumFractionDigits: 2 };

export const money = (value) => value.toLocaleString("en", MONEY);

export const count = (n, one, many = `${one}s`) =>
  `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

// Formats a time in the zone of its ISO text, which is the shop's, not in the browser's zone.
export function formatTime(iso, options) {
  const zone = /([+-])(\d\d):(\d\d)$/.exec(iso);
  const minutes = zone ? Number(`${zone[1]}1`) * (Number(zone[2]) * 60 + Number(zone[3])) : 0;
  const shifted = new Date(Date.parse(iso) + minutes * 60_000);
  return shifted.toLocaleString("en-GB", { timeZone: "UTC", ...options });
}

export const DAY = { day: "numeric", month: "short", year: "numeric" };
export const HOUR = { weekday: "short", ...DAY, hour: "2-digit", minute: "2-digit" };

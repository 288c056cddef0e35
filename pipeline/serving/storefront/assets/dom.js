// Small helpers. Text from the shop goes in as text nodes only, never as HTML.

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// "BAKED BREAD/BUNS" -> "Baked bread/buns"; what is written in mixed case stays.
export function sentence(text) {
  const quiet = text === text.toUpperCase() ? text.toLowerCase() : text;
  return quiet.charAt(0).toUpperCase() + quiet.slice(1);
}

// In the shop's currency, which the page is told; without one as a bare number.
const { currency } = document.documentElement.dataset;
const MONEY = currency
  ? { style: "currency", currency }
  : { minimumFractionDigits: 2, maximumFractionDigits: 2 };

export const money = (value) => value.toLocaleString("en", MONEY);

export const count = (n, one, many = `${one}s`) =>
  `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

// The shop's wall clock is in the text of a moment; the browser's own zone must not change it.
export function onTheWall(iso, options) {
  const zone = /([+-])(\d\d):(\d\d)$/.exec(iso);
  const minutes = zone ? Number(`${zone[1]}1`) * (Number(zone[2]) * 60 + Number(zone[3])) : 0;
  const shifted = new Date(Date.parse(iso) + minutes * 60_000);
  return shifted.toLocaleString("en-GB", { timeZone: "UTC", ...options });
}

export const DAY = { day: "numeric", month: "short", year: "numeric" };
export const HOUR = { weekday: "short", ...DAY, hour: "2-digit", minute: "2-digit" };

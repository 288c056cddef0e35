// What is different between two lists of item ids, in marks for each item and in words for all.

import { count } from "./dom.js";

const NAMED = 2;

// Returns for each item of `after` "new", how many places it went up (+) or down (-), or 0.
export function changes(before, after) {
  const place = new Map(before.map((id, at) => [id, at]));
  return new Map(after.map((id, at) => [id, place.has(id) ? place.get(id) - at : "new"]));
}

export function mark(change) {
  if (change === "new") return { text: "New", words: "New on the list" };
  if (!change) return null;
  const way = change > 0 ? "up" : "down";
  const places = Math.abs(change);
  return { text: `${change > 0 ? "▲" : "▼"} ${places}`, words: `Moved ${way} ${count(places, "place")}` };
}

export function summary(found, gone) {
  const values = [...found.values()];
  const fresh = values.filter((change) => change === "new").length;
  const moved = values.filter((change) => change !== "new" && change !== 0).length;
  const parts = [];
  if (fresh) parts.push(`${fresh} new`);
  if (moved) parts.push(`${moved} moved`);
  if (gone.length > NAMED) parts.push(`${gone.length} no longer listed`);
  else if (gone.length) parts.push(`no longer listed: ${gone.join(", ")}`);
  return parts.length ? `${parts.join(", ")}.` : "the list stays as it is.";
}

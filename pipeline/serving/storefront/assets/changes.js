// The changes between two lists of item ids: a mark for each item and a summary.

import { count } from "./dom.js";

const MAXIMUM_NAMED = 2;

// Returns for each item of `after` the number of places it moved up (+) or down (-), or "new".
export function changes(before, after) {
  const place = new Map(before.map((id, at) => [id, at]));
  return new Map(after.map((id, at) => [id, place.has(id) ? place.get(id) - at : "new"]));
}

export function mark(change) {
  if (change === "new") return { text: "New", words: "New on the list" };
  if (!change) return null;
  const direction = change > 0 ? "up" : "down";
  const places = Math.abs(change);
  return { text: `${change > 0 ? "▲" : "▼"} ${places}`, words: `Moved ${direction} ${count(places, "place")}` };
}

export function summary(moves, removed) {
  const values = [...moves.values()];
  const fresh = values.filter((change) => change === "new").length;
  const moved = values.filter((change) => change !== "new" && change !== 0).length;
  const parts = [];
  if (fresh) parts.push(`${fresh} new`);
  if (moved) parts.push(`${moved} moved`);
  if (removed.length > MAXIMUM_NAMED) parts.push(`${removed.length} removed`);
  else if (removed.length) parts.push(`removed: ${removed.join(", ")}`);
  return parts.length ? `${parts.join(", ")}.` : "the list is unchanged.";
}

// What the service is doing: model, time to an answer as this page waits for it, drift, events.

import { DAY, byId, element, onTheWall } from "./dom.js";

const LIGHTS = {
  proceed: ["good", "Healthy"],
  warns: ["warn", "Healthy, with warnings"],
  return: ["bad", "Needs work"],
  stop: ["bad", "Stop"],
  unknown: ["none", "Not known"],
};
const KEPT = 20;
const SVG = "http://www.w3.org/2000/svg";
const waited = [];

export function showStatus(status) {
  byId("model").textContent = `${status.model_name}, version ${status.model_version}`;
  const last = onTheWall(status.as_of, { ...DAY, hour: "2-digit", minute: "2-digit" });
  byId("as-of").textContent = `up to ${last}`;
  const [tone, words] = LIGHTS[status.drift.status];
  byId("drift").replaceChildren(
    element("span", { class: `light light-${tone}`, "aria-hidden": "true" }),
    element("strong", {}, `${words}. `),
    status.drift.cause,
  );
}

export function showLatency(milliseconds) {
  waited.push(milliseconds);
  if (waited.length > KEPT) waited.shift();
  const middle = [...waited].sort((a, b) => a - b)[Math.floor((waited.length - 1) / 2)];
  const last = `${milliseconds.toFixed(0)} ms`;
  byId("latency").textContent =
    waited.length > 1 ? `${last}; median of ${waited.length}: ${middle.toFixed(0)} ms` : last;
  const highest = Math.max(...waited);
  byId("bars").replaceChildren(...waited.map((value, at) => bar(at, value / highest)));
}

function bar(at, share) {
  const height = Math.max(1, 22 * share);
  const made = document.createElementNS(SVG, "rect");
  const shape = { x: at * 6, y: 24 - height, width: 4, height, rx: 1 };
  for (const [name, value] of Object.entries(shape)) made.setAttribute(name, value);
  return made;
}

export function showEvents({ acknowledged, size, sending }) {
  const parts = [];
  if (acknowledged) parts.push(`${acknowledged} acknowledged: on the service's disk`);
  if (size) parts.push(`${size} ${sending ? "on the way" : "not saved yet"}`);
  byId("events").textContent = parts.join("; ") || "none sent yet";
}

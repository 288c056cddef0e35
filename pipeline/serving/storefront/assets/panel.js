// The service panel: the model, the latency that this page measures, drift and events.

import { DAY, byId, element, formatTime } from "./dom.js";

const LIGHTS = {
  proceed: ["good", "Healthy"],
  warns: ["warn", "Healthy, with warnings"],
  return: ["bad", "Needs work"],
  stop: ["bad", "Stop"],
  unknown: ["none", "Unknown"],
};
const MAXIMUM_BARS = 20;
const SVG = "http://www.w3.org/2000/svg";
const latencies = [];

export function showStatus(status) {
  byId("model").textContent = `${status.model_name}, version ${status.model_version}`;
  const last = formatTime(status.as_of, { ...DAY, hour: "2-digit", minute: "2-digit" });
  byId("as-of").textContent = `up to ${last}`;
  const [tone, text] = LIGHTS[status.drift.status];
  byId("drift").replaceChildren(
    element("span", { class: `light light-${tone}`, "aria-hidden": "true" }),
    element("strong", {}, `${text}. `),
    status.drift.cause,
  );
}

export function showLatency(milliseconds) {
  latencies.push(milliseconds);
  if (latencies.length > MAXIMUM_BARS) latencies.shift();
  const middle = [...latencies].sort((a, b) => a - b)[Math.floor((latencies.length - 1) / 2)];
  const last = `${milliseconds.toFixed(0)} ms`;
  byId("latency").textContent =
    latencies.length > 1 ? `${last}; median of ${latencies.length}: ${middle.toFixed(0)} ms` : last;
  const highest = Math.max(...latencies);
  byId("bars").replaceChildren(...latencies.map((value, at) => bar(at, value / highest)));
}

function bar(at, share) {
  const height = Math.max(1, 22 * share);
  const rect = document.createElementNS(SVG, "rect");
  const shape = { x: at * 6, y: 24 - height, width: 4, height, rx: 1 };
  for (const [name, value] of Object.entries(shape)) rect.setAttribute(name, value);
  return rect;
}

export function showEvents({ acknowledged, size, sending }) {
  const parts = [];
  if (acknowledged) parts.push(`${acknowledged} saved`);
  if (size) parts.push(`${size} ${sending ? "sending" : "not saved yet"}`);
  byId("events").textContent = parts.join("; ") || "none yet";
}

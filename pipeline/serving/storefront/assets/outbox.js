// The queue of events to send: one batch at a time, each until the service acknowledges it.
// Every event has an id, so an event that is sent twice counts once.

import { post } from "./api.js";

export class Outbox {
  // onChange is called after each step, onPause when sending stops at a temporary problem.
  constructor(onChange, onPause) {
    this.waiting = [];
    this.acknowledged = 0;
    this.sending = false;
    this.onChange = onChange;
    this.onPause = onPause;
  }

  get size() {
    return this.waiting.reduce((n, batch) => n + batch.events.length, 0);
  }

  // Resolves when the events are on the service's disk, and rejects if the service refuses them.
  put(events) {
    const identified = events.map((event) => ({ ...event, event_id: newId("storefront") }));
    return new Promise((resolve, reject) => {
      this.waiting.push({ events: identified, resolve, reject });
      this.onChange();
      this.flush();
    });
  }

  // Sends pending events; after a temporary problem, the rest waits for the next flush.
  async flush() {
    if (this.sending) return;
    this.sending = true;
    try {
      while (this.waiting.length) await this.#sendFirst();
    } catch (problem) {
      this.onPause(problem);
    } finally {
      this.sending = false;
      this.onChange();
    }
  }

  async #sendFirst() {
    const batch = this.waiting[0];
    try {
      await post("/events", batch.events);
    } catch (problem) {
      if (problem.mayRetry) throw problem;
      this.waiting.shift();
      batch.reject(problem);
      return;
    }
    this.waiting.shift();
    this.acknowledged += batch.events.length;
    this.onChange();
    batch.resolve();
  }
}

export function newId(prefix, length = 8) {
  const bytes = crypto.getRandomValues(new Uint8Array(length));
  return `${prefix}-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

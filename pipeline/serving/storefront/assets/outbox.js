// Events on their way to the service: one batch after the other, each kept until it is acknowledged.
// Every event has its own id, so that one that is sent twice counts once.

import { post } from "./api.js";

export class Outbox {
  // changed: told after each step. held: told when sending stopped at a problem that may pass.
  constructor(changed, held) {
    this.waiting = [];
    this.acknowledged = 0;
    this.sending = false;
    this.changed = changed;
    this.held = held;
  }

  get size() {
    return this.waiting.reduce((n, batch) => n + batch.events.length, 0);
  }

  // Resolves when these events are on the service's disk; rejects when it refuses them.
  put(events) {
    const named = events.map((event) => ({ ...event, event_id: newId("storefront") }));
    return new Promise((resolve, reject) => {
      this.waiting.push({ events: named, resolve, reject });
      this.changed();
      this.flush();
    });
  }

  // Sends what waits; where it stops at a problem, the rest waits for the next flush.
  async flush() {
    if (this.sending) return;
    this.sending = true;
    try {
      while (this.waiting.length) await this.#sendFirst();
    } catch (problem) {
      this.held(problem);
    } finally {
      this.sending = false;
      this.changed();
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
    this.changed();
    batch.resolve();
  }
}

export function newId(prefix, length = 8) {
  const bytes = crypto.getRandomValues(new Uint8Array(length));
  return `${prefix}-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

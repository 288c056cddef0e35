// The shop's clock. Data may be of a past year: the service says what time it is in the shop, and
// from then on it runs. No two moments are equal, so that an answer sees the event before it.

export class Clock {
  constructor(iso) {
    this.zone = /([+-]\d\d:\d\d|Z)$/.exec(iso)[0];
    this.base = Date.parse(iso) + 1; // a browser cuts off what is less than a millisecond
    this.started = performance.now();
    this.last = 0;
  }

  next() {
    const running = this.base + Math.floor(performance.now() - this.started);
    this.last = Math.max(running, this.last + 1);
    return new Date(this.last).toISOString();
  }
}

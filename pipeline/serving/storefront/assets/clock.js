// The shop's clock. Data may be of a past year, so the clock starts at the time that the service
// gives. It never returns the same time twice, so that an answer reflects the event before it.

export class Clock {
  constructor(iso) {
    this.zone = /([+-]\d\d:\d\d|Z)$/.exec(iso)[0];
    this.base = Date.parse(iso) + 1; // Date.parse truncates to milliseconds
    this.started = performance.now();
    this.last = 0;
  }

  next() {
    const running = this.base + Math.floor(performance.now() - this.started);
    this.last = Math.max(running, this.last + 1);
    return new Date(this.last).toISOString();
  }
}

// Requests to the service: JSON or a Problem in words, within a time limit.

const LIMIT_MS = 8_000;

export class Problem extends Error {
  // mayRetry: the same request could succeed later.
  constructor(words, mayRetry) {
    super(words);
    this.mayRetry = mayRetry;
  }
}

export const get = (path, signal) => ask(path, { signal });

export const post = (path, value, signal) =>
  ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(value),
    signal,
  });

async function ask(path, options) {
  const limit = AbortSignal.timeout(LIMIT_MS);
  const signal = options.signal ? AbortSignal.any([limit, options.signal]) : limit;
  let response;
  let body;
  try {
    response = await fetch(path, { ...options, signal });
    body = await response.text();
  } catch (error) {
    if (options.signal?.aborted) throw error; // we gave it up ourselves
    const late = limit.aborted;
    throw new Problem(
      late
        ? `The service has not answered for ${LIMIT_MS / 1000} seconds. Wait a moment, then try again.`
        : "The service cannot be reached. See that it runs (make serve), then try again.",
      true,
    );
  }
  options.signal?.throwIfAborted(); // it arrived, but something newer was asked meanwhile
  if (response.ok) return JSON.parse(body);
  throw new Problem(words(response.status, body), response.status >= 500 || response.status === 429);
}

function words(status, body) {
  try {
    const { wanted, received, action } = JSON.parse(body).error;
    return `Expected ${wanted}, got ${received}. ${action}`;
  } catch {
    return `The service answered with an error (HTTP ${status}). See its log, then try again.`;
  }
}

// Requests to the service: they return JSON, or throw a Problem with a text for the shopper.

const LIMIT_MS = 8_000;

export class Problem extends Error {
  // mayRetry: whether the same request may succeed later.
  constructor(words, mayRetry) {
    super(words);
    this.mayRetry = mayRetry;
  }
}

export const get = (path, signal) => request(path, { signal });

export const post = (path, value, signal) =>
  request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(value),
    signal,
  });

async function request(path, options) {
  const limit = AbortSignal.timeout(LIMIT_MS);
  const signal = options.signal ? AbortSignal.any([limit, options.signal]) : limit;
  let response;
  let body;
  try {
    response = await fetch(path, { ...options, signal });
    body = await response.text();
  } catch (error) {
    if (options.signal?.aborted) throw error; // a newer request replaced this one
    throw new Problem(
      limit.aborted
        ? `The service did not answer within ${LIMIT_MS / 1000} seconds. Wait a moment, then try again.`
        : "The service cannot be reached. Start it (make serve), then try again.",
      true,
    );
  }
  options.signal?.throwIfAborted(); // a newer request was sent meanwhile
  if (response.ok) return JSON.parse(body);
  throw new Problem(
    describeError(response.status, body),
    response.status >= 500 || response.status === 429,
  );
}

function describeError(status, body) {
  try {
    const { wanted, received, action } = JSON.parse(body).error;
    return `Expected ${wanted}, got ${received}. ${action}`;
  } catch {
    return `The service returned an error (HTTP ${status}). Check its log, then try again.`;
  }
}

// What is asked of the master: JSON in, JSON out, every error a Problem that says what to do.

/** An error as the master tells it (RFC 9457), or as the network does. */
export class Problem extends Error {
  constructor(status, title, detail, kind = null) {
    super(detail ? `${title}: ${detail}` : title);
    Object.assign(this, { status, title, detail, kind });
  }
}

/** The problem in an answer that is not a success. */
export function problemOf(status, text) {
  try {
    const { title, detail, type } = JSON.parse(text);
    if (title) return new Problem(status, title, detail ?? "", type ?? null);
  } catch {
    // Not problem+json: something between here and the master has answered.
  }
  return new Problem(status, `The answer was ${status}`, String(text).slice(0, 200));
}

/** The answer to a request, as JSON; null for one without a body. */
export async function ask(path, options = {}) {
  let response;
  const headers = { accept: "application/json", ...options.headers };
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The master does not answer", "It may be restarting; try again in a moment.");
  }
  const text = await response.text();
  if (!response.ok) throw problemOf(response.status, text);
  return text ? JSON.parse(text) : null;
}

/** The address of a job, and of what belongs to it. */
export const jobPath = (id, rest = "") => `/api/v1/jobs/${encodeURIComponent(id)}${rest}`;

/** A query string of what is not empty. */
export function query(values) {
  const pairs = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") pairs.append(key, one);
    }
  }
  const text = pairs.toString();
  return text ? `?${text}` : "";
}

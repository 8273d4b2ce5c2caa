// What is asked of the master: JSON in, JSON out, every error a Problem that says what to do.

import { lost, proof } from "./session.js";

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
  const changes = options.method && options.method !== "HEAD";
  const headers = { accept: "application/json", ...(changes ? proof() : {}), ...options.headers };
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The master does not answer", "It may be restarting; try again in a moment.");
  }
  const text = await response.text();
  if (response.status === 401) lost();
  if (!response.ok) throw problemOf(response.status, text);
  return text ? parse(text) : null;
}

/** JSON as a value. An integer that a JavaScript number can not hold exactly stays the text of its digits. */
export function parse(text) {
  // Calling back for each value takes several times as long, and few texts have numbers of that length.
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_, value, place) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) ? place?.source ?? value : value);
}

/** The address of a job, and of what belongs to it. */
export const jobPath = (id, rest = "") => `/api/v1/jobs/${encodeURIComponent(id)}${rest}`;

/** The address of a table, and of what belongs to it. */
export const tablePath = (name, rest = "") => `/api/v1/tables/${encodeURIComponent(name)}${rest}`;

/** The address of a row, and of what belongs to it. A key of several columns goes as a JSON array. */
export function rowPath(table, key, rest = "") {
  const text = Array.isArray(key) ? JSON.stringify(key) : String(key);
  return tablePath(table, `/rows/${encodeURIComponent(text)}${rest}`);
}

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

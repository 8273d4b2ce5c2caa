// Sends operations. Each goes under a message id of its own, and under the same one again where no answer came:
// so nothing is done twice.

import { ask, rowPath, tablePath } from "../api.js";

/** A new message id. */
export function messageId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  // Browsers have that one only on the machine itself or behind TLS.
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Sends operations of one dialog; knows which one is not yet answered. */
export class Sender {
  constructor(table) {
    Object.assign(this, { table, open: null });
  }

  /** Sends an operation and gives its result. */
  async send(operation) {
    const text = JSON.stringify(operation);
    if (this.open?.text !== text) this.open = { text, id: messageId() };
    const body = JSON.stringify({ message_id: this.open.id, ...operation });
    const headers = { "content-type": "application/json" };
    try {
      const { results } = await ask(tablePath(this.table, "/operations"), { method: "POST", headers, body });
      this.open = null;
      return results[0];
    } catch (problem) {
      // A refusal is an answer; where there is none, the same id goes out again.
      if (problem.status >= 400 && problem.status < 500) this.open = null;
      throw problem;
    }
  }
}

/** A row as it is now; null where there is none. */
export async function fetchRow(table, key) {
  try {
    return await ask(rowPath(table, key));
  } catch (problem) {
    if (problem.status === 404) return null;
    throw problem;
  }
}

// Sends a file by the tus protocol: the job exists, and is counted, from the first byte on; an upload that
// breaks off goes on where the master says, also after the master's restart.

import { ask, problemOf, query } from "../api.js";
import { changed } from "../store.js";
import { announce } from "../parts/announce.js";
import { proof } from "../session.js";

const TUS = { "Tus-Resumable": "1.0.0" };
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
// The rate is that of the last so many milliseconds.
const RATE_WINDOW_MS = 3000;
// Answers after which the same may be tried again: locked, too much at once, stopping, no room.
const LATER = new Set([0, 423, 429, 502, 503, 504, 507]);
// Somebody who is away for this long has given up.
const PATIENCE_MS = 15 * 60_000;

/** All uploads of this page, in the order in which they began. */
export const uploads = [];

/**
 * Opens a job for `file` and begins to send it. Resolves to the upload once there is a job. So many bytes as
 * `first` says go with the opening, for a master that has to see the beginning to know what it opens.
 */
export async function send(file, parameters, first = 0) {
  const upload = new Upload(file);
  await upload.create(parameters, first);
  uploads.push(upload);
  upload.run();
  changed();
  return upload;
}

/** Takes an upload off the list. */
export function forget(upload) {
  const at = uploads.indexOf(upload);
  if (at >= 0) uploads.splice(at, 1);
  changed();
}

class Upload {
  constructor(file) {
    Object.assign(this, { file, sent: 0, state: "sending", problem: null, samples: [], wait: FIRST_WAIT_MS });
  }

  async create(parameters, first) {
    const name = btoa(String.fromCharCode(...new TextEncoder().encode(this.file.name || "unnamed")));
    const headers = { ...TUS, ...proof(), "Upload-Length": String(this.file.size), "Upload-Metadata": `filename ${name}` };
    const body = first > 0 ? this.file.slice(0, first) : null;
    if (body) headers["Content-Type"] = "application/offset+octet-stream";
    const response = await fetch(`/api/v1/uploads${query(parameters)}`, { method: "POST", headers, body });
    if (!response.ok) throw problemOf(response.status, await response.text());
    this.url = new URL(response.headers.get("Location"), location.href).pathname;
    this.id = this.url.split("/").pop();
    if (body) this.sent = Number(response.headers.get("Upload-Offset") ?? 0);
  }

  /** Bytes a second now. */
  rate() {
    const [first, last] = [this.samples[0], this.samples[this.samples.length - 1]];
    return first && last.at > first.at ? ((last.sent - first.sent) * 1000) / (last.at - first.at) : 0;
  }

  async run() {
    // All of a small file has gone with the opening.
    if (this.sent > 0 && this.sent === this.file.size) return this.end("done");
    let since = Date.now();
    while (this.state === "sending" || this.state === "waiting") {
      const before = this.sent;
      const problem = await this.piece().catch((error) => error);
      if (this.state === "cancelled") return;
      if (!problem) return this.end("done");
      if (this.sent > before) [since, this.wait] = [Date.now(), FIRST_WAIT_MS];
      if (!LATER.has(problem.status) && problem.kind !== "/docs/http.md#offset") return this.fail(problem);
      if (Date.now() - since > PATIENCE_MS) return this.fail(problem);
      this.state = "waiting";
      this.problem = problem;
      changed();
      await new Promise((resolve) => setTimeout(resolve, this.wait));
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
      await this.whereabouts();
    }
  }

  /** Sends what is left; resolves to null, or to what went wrong. */
  piece() {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      const from = this.sent;
      this.request = request;
      request.open("PATCH", this.url);
      for (const [name, value] of Object.entries({ ...TUS, ...proof() })) request.setRequestHeader(name, value);
      request.setRequestHeader("Upload-Offset", String(from));
      request.setRequestHeader("Content-Type", "application/offset+octet-stream");
      request.upload.onprogress = (event) => this.at(from + event.loaded);
      request.onload = () => {
        const good = request.status >= 200 && request.status < 300;
        resolve(good ? null : problemOf(request.status, request.responseText));
      };
      request.onerror = () => resolve(problemOf(0, '{"title":"The connection broke","detail":"It is taken up again."}'));
      request.onabort = () => resolve(null);
      request.send(this.file.slice(from));
    });
  }

  /** Asks the master how much it has. */
  async whereabouts() {
    try {
      const response = await fetch(this.url, { method: "HEAD", headers: TUS });
      if (!response.ok) return;
      this.sent = Number(response.headers.get("Upload-Offset"));
      this.samples = [];
      this.state = "sending";
    } catch {
      // The next piece will find out.
    }
  }

  at(sent) {
    this.sent = Math.min(sent, this.file.size);
    this.state = "sending";
    this.problem = null;
    const now = performance.now();
    this.samples.push({ at: now, sent });
    while (this.samples.length > 2 && now - this.samples[0].at > RATE_WINDOW_MS) this.samples.shift();
    changed();
  }

  fail(problem) {
    this.problem = problem;
    this.end("failed");
  }

  end(state) {
    this.state = state;
    announce(`Upload of ${this.file.name}: ${state}`);
    changed();
  }

  /** Gives up, and has the master forget the job. */
  async cancel() {
    this.state = "cancelled";
    this.request?.abort();
    forget(this);
    await ask(this.url, { method: "DELETE", headers: TUS }).catch(() => {});
  }
}

// Who leaves now loses the rest of an upload.
addEventListener("beforeunload", (event) => {
  if (uploads.some((upload) => upload.state === "sending" || upload.state === "waiting")) event.preventDefault();
});

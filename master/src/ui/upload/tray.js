// The uploads under way, above every page.

import { html, useEffect, useState } from "../html.js";
import { subscribe } from "../store.js";
import { bytes, duration, percent, rate } from "../format.js";
import { ProgressBar } from "../parts/bar.js";
import { ProblemBox } from "../parts/problem.js";
import { jobHref } from "../route.js";
import { forget, uploads } from "./send.js";

// So long an upload that is complete is still shown.
const DONE_MS = 2500;

/** The list of uploads; nothing where there are none. */
export function Uploads() {
  const [, draw] = useState(0);
  useEffect(() => subscribe(() => draw((n) => n + 1)), []);
  if (!uploads.length) return null;
  return html`<section class="uploads" aria-label="Uploads">
    ${uploads.map((upload) => html`<${One} key=${upload.id} upload=${upload} />`)}
  </section>`;
}

function One({ upload }) {
  const { file, sent, state, problem, id } = upload;
  useEffect(() => {
    if (state !== "done") return undefined;
    const timer = setTimeout(() => forget(upload), DONE_MS);
    return () => clearTimeout(timer);
  }, [state]);
  const share = file.size > 0 ? sent / file.size : 1;
  const pace = upload.rate();
  const words = {
    sending: `${percent(share)} of ${bytes(file.size)} · ${rate(pace)}${pace > 0 ? ` · ${duration(((file.size - sent) / pace) * 1000)} left` : ""}`,
    waiting: `stopped at ${percent(share)}; trying again`,
    done: `${bytes(file.size)} uploaded`,
    failed: "failed",
  }[state];
  return html`<div class="upload" data-state=${state}>
    <a class="name" href=${jobHref(id)}>${file.name}</a>
    <${ProgressBar} share=${share} state=${state === "failed" ? "failed" : "receiving"} label=${`Upload of ${file.name}`} />
    <span class="sub">${words}</span>
    ${state === "failed"
      ? html`<button type="button" class="button" onClick=${() => forget(upload)}>Close</button>`
      : state !== "done" && html`<button type="button" class="button" onClick=${() => upload.cancel()}>Cancel upload</button>`}
    ${state === "failed" && html`<${ProblemBox} problem=${problem} />`}
  </div>`;
}

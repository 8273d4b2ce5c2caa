// The imports that were begun in this tab: how far each is, and what it has come to.

import { html, useEffect, useState } from "../html.js";
import { changed, ended, fetchJob, store, subscribe } from "../store.js";
import { howFar, howLong, share } from "../progress.js";
import { ProgressBar } from "../parts/bar.js";
import { State } from "../parts/icon.js";
import { jobHref } from "../route.js";
import { IngestCounts, Report } from "../job/ingest.js";

const POLL_MS = 700;
// Imports that are listed; older ones are in the list of jobs.
const MOST = 20;

let imports = [];

/** Lists a job as an import into a table. */
export function follow(id, table, file) {
  imports = [{ id, table, file }, ...imports].slice(0, MOST);
  changed();
}

/** The imports into a table that are listed. */
export const importsInto = (table) => imports.filter((one) => one.table === table);

/** The list; nothing where there are none. */
export function Imports({ table }) {
  const [, draw] = useState(0);
  useEffect(() => subscribe(() => draw((n) => n + 1)), []);
  const listed = importsInto(table);
  if (!listed.length) return null;
  return html`<section class="panel imports" aria-labelledby="imports-title">
    <h2 id="imports-title">Imports</h2>
    ${listed.map((one) => html`<${One} key=${one.id} one=${one} />`)}
  </section>`;
}

function One({ one }) {
  const job = store.jobs.get(one.id);
  const over = job && ended(job);
  useEffect(() => {
    if (over) return undefined;
    const look = () => fetchJob(one.id).catch((problem) => {
      if (problem.status === 404 || problem.status === 410) forget(one);
    });
    look();
    const timer = setInterval(look, POLL_MS);
    return () => clearInterval(timer);
  }, [one.id, over]);
  return html`<article class="import" aria-label=${`Import of ${one.file}`} data-job=${one.id}>
    <div class="import-head"><a class="name" href=${jobHref(one.id)}>${one.file}</a>
      ${job && html`<span role="status"><${State} state=${job.state} /></span><span class="sub">${howFar(job)} · ${howLong(job)}</span>`}
      ${over && html`<button type="button" class="button quiet-button" onClick=${() => forget(one)}>Close</button>`}</div>
    ${job && html`<${ProgressBar} share=${share(job)} state=${job.state} label=${`Import of ${one.file}`} />`}
    ${job?.error && html`<p class="notice">${job.error}</p>`}
    ${job?.ingest && html`<${IngestCounts} ingest=${job.ingest} />`}
    ${job?.ingest && job.state === "succeeded" && html`<${Report} job=${job} />`}
  </article>`;
}

function forget(one) {
  imports = imports.filter((other) => other !== one);
  changed();
}

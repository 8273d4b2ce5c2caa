// What an import has come to: of a job whose records go into a table.

import { html } from "../html.js";
import { jobPath } from "../api.js";
import { count } from "../format.js";
import { ended } from "../store.js";
import { Icon } from "../parts/icon.js";
import { tableHref } from "../route.js";

/** The panel of a job that goes into a table. */
export function IngestPanel({ job }) {
  const { ingest } = job;
  return html`<section class="panel" aria-labelledby="ingest-title">
    <div class="panel-head"><h2 id="ingest-title">Into the table <a href=${tableHref(ingest.table)}>${ingest.table}</a></h2>
      <span class="tag">${ingest.mode}</span>${!ended(job) && html`<span class="sub">so far</span>`}</div>
    <${IngestCounts} ingest=${ingest} />
    ${job.state === "succeeded" && html`<${Report} job=${job} />`}
  </section>`;
}

/** The counts of an ingest. */
export function IngestCounts({ ingest }) {
  const figures = [
    ["added", "Added", ingest.added],
    ["updated", "Updated", ingest.updated],
    ["unchanged", "Unchanged", ingest.unchanged, "not written"],
    ["deleted", "Deleted", ingest.deleted, ingest.mode === "replace" ? "not in the file" : "never, in this mode"],
    ["keys", "Keys", ingest.keys, "different ones in the file"],
    ["repeated_keys", "Repeated keys", ingest.repeated_keys, `${count(ingest.replaced_records)} records replaced by later ones`],
  ];
  return html`<dl class="facts">${figures.map(([id, name, value, more]) => html`<div key=${id} data-count=${id}>
    <dt>${name}</dt><dd>${count(value)}${more && html`<span class="sub">${more}</span>`}</dd></div>`)}</dl>`;
}

/** The link to the list of keys that the file had more than once. */
export function Report({ job }) {
  if (!job.ingest.repeated_keys) return html`<p class="sub">The file had no key twice.</p>`;
  return html`<p><a class="button" href=${jobPath(job.id, "/result")} download><${Icon} name="download" />Keys that the file had more than once (CSV)</a></p>`;
}

// The records that could not be counted: where they stand, what is wrong with them, and what they say.

import { html, useState } from "../html.js";
import { jobPath, query } from "../api.js";
import { ended } from "../store.js";
import { count, things } from "../format.js";
import { useAnswer } from "../parts/hooks.js";
import { Icon } from "../parts/icon.js";
import { Quiet } from "../parts/problem.js";

const PAGE = 25;
const COLUMNS = ["line", "byte_offset", "column", "reason", "record"];
const NUMBERS = new Set(["line", "byte_offset"]);

/** The panel with a job's rejects. */
export function Rejects({ job }) {
  const { rejected, repaired } = job.receipt;
  const none = !job.rejects.length && rejected === 0;
  return html`<section class="panel" aria-labelledby="rejects-title">
    <div class="panel-head"><h2 id="rejects-title">Rejects</h2>
      <span class="sub">${count(rejected)} of ${things(job.receipt.records, "record")}${repaired > 0 && `, ${count(repaired)} repaired`}</span>
      ${ended(job) && rejected > 0 && html`<a class="button" href=${jobPath(job.id, "/rejects")} download><${Icon} name="download" />CSV</a>`}
    </div>
    ${none ? html`<${Quiet}>Every record could be counted${ended(job) ? "" : " so far"}.<//>` : html`<${Paged} job=${job} />`}
  </section>`;
}

function Cell({ name, value }) {
  if (NUMBERS.has(name)) return html`<td class="number">${count(value)}</td>`;
  return html`<td class=${name === "record" ? "text raw" : "text"}>${value}</td>`;
}

function Paged({ job }) {
  const [offset, setOffset] = useState(0);
  const path = ended(job) ? jobPath(job.id, `/rejects${query({ limit: PAGE, offset })}`) : null;
  const { data } = useAnswer(path);
  // What the job itself lists stands in until there is more.
  const look = data ?? { columns: COLUMNS, rows: job.rejects.map((row) => COLUMNS.map((name) => String(row[name] ?? ""))), next_offset: null };
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Rejects">
    <table class="plain rejects"><caption class="unseen">Records that could not be counted</caption>
      <thead><tr>${look.columns.map((name) => html`<th key=${name} scope="col"
        class=${NUMBERS.has(name) ? "number" : ""}>${name.replace("_", " ")}</th>`)}</tr></thead>
      <tbody>${look.rows.map((row, i) => html`<tr key=${offset + i}>
        ${row.map((value, j) => html`<${Cell} key=${j} name=${look.columns[j]} value=${value} />`)}</tr>`)}</tbody>
    </table></div>
    ${data && (offset > 0 || data.next_offset !== null) && html`<div class="pager">
      <button type="button" class="button" disabled=${offset === 0} onClick=${() => setOffset(Math.max(0, offset - PAGE))}>Before</button>
      <span class="sub">${count(offset + 1)} to ${count(offset + look.rows.length)}</span>
      <button type="button" class="button" disabled=${data.next_offset === null} onClick=${() => setOffset(data.next_offset)}>Next</button>
    </div>`}`;
}

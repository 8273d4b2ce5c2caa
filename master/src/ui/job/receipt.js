// The proof that nothing was lost: what came in is what was counted and what was rejected.

import { html } from "../html.js";
import { jobPath } from "../api.js";
import { ended } from "../store.js";
import { bytes, count, crc } from "../format.js";

/** The panel with a job's receipt. */
export function Receipt({ job }) {
  const { receipt, result } = job;
  const adds = receipt.records === receipt.counted + receipt.rejected;
  const whole = ended(job) || job.state === "merging";
  const lines = [
    ["Input", `${count(receipt.bytes)} bytes (${bytes(receipt.bytes)})`],
    ["CRC-32C of the input", html`<code>${crc(receipt.crc32c)}</code>`],
    ["Blank lines", count(receipt.blank_lines)],
    receipt.repaired > 0 && ["Repaired of the rejected", count(receipt.repaired)],
    result && ["Result", `${count(result.rows)} rows, ${count(result.bytes)} bytes`],
    result && ["SHA-256 of the result", html`<code class="long">${result.sha256}</code>`],
  ];
  return html`<section class="panel" aria-labelledby="receipt-title">
    <div class="panel-head"><h2 id="receipt-title">Receipt</h2>
      ${ended(job) && html`<a href=${jobPath(job.id, "/receipt")} download=${`receipt-${job.id}.json`}>with every task (JSON)</a>`}</div>
    <p class="equation" aria-label=${`${receipt.records} records are ${receipt.counted} counted and ${receipt.rejected} rejected`}>
      <span><b>${count(receipt.records)}</b><i>records</i></span><span aria-hidden="true">=</span>
      <span><b>${count(receipt.counted)}</b><i>counted</i></span><span aria-hidden="true">+</span>
      <span><b>${count(receipt.rejected)}</b><i>rejected</i></span>
      <span class=${adds ? "verdict good" : "verdict bad"}>${adds ? "✓ adds up" : "✕ does not add up"}${whole ? "" : " so far"}</span>
    </p>
    <dl class="lines">${lines.filter(Boolean).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
  </section>`;
}

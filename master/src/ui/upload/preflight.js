// What the master says of a file before it is counted: whether it can be, how it is written, what will come out.

import { html } from "../html.js";
import { bytes, count, duration, short } from "../format.js";
import { Icon } from "../parts/icon.js";

/** A preflight report. `onSuggestion` is called with a spec that would fit better. */
export function Report({ report, onSuggestion }) {
  const { ok, problems, columns, prediction, sample, suggestion } = report;
  return html`
    <p class=${ok ? "verdict good" : "verdict bad"}>${ok ? "✓ This can be counted" : "✕ This can not be counted like that"}</p>
    ${problems.length > 0 && html`<ul class="problems">${problems.map((text) => html`<li key=${text}><${Icon} name="warning" />${text}</li>`)}</ul>`}
    ${suggestion && html`<p><button type="button" class="button" onClick=${() => onSuggestion(suggestion)}>Use what would fit</button>
      <span class="sub"> ${say(suggestion)}</span></p>`}
    <${Written} report=${report} />
    ${prediction && html`<${Prediction} prediction=${prediction} whole=${sample.whole} />`}
    <${Columns} columns=${columns} />
    ${sample.rejects.length > 0 && html`<${Rejects} sample=${sample} />`}`;
}

function say(spec) {
  const groups = spec.group_by.map((column) => column.name).join(", ");
  const values = spec.aggregates.map((one) => (one.column ? `${one.op} of ${one.column}` : "count of records")).join(", ");
  return `${values} by ${groups}`;
}

function Written({ report }) {
  const { compression, encoding, delimiter, line_end: end } = report;
  const words = [`${delimiter}s between fields`, encoding.toUpperCase(), `${end.toUpperCase()} line ends`,
    compression === "none" ? "not compressed" : compression];
  return html`<p class="sub" data-part="dialect">${words.join(" · ")}</p>`;
}

function Prediction({ prediction: p, whole }) {
  // What is estimated is not given to the last digit.
  const about = whole ? "" : "about ";
  const number = (n) => (whole || n === 0 ? count(n) : about + short(n));
  const figures = [
    ["Records", number(p.records)],
    ["Rows of the result", number(p.groups)],
    ["Rejects", number(p.rejected)],
    ["Time", p.seconds === null ? "no slaves yet" : `about ${duration(p.seconds * 1000)}`],
    ["Result", about + bytes(p.result_bytes)],
    ["Disk at most", about + bytes(p.disk_bytes), p.disk_room !== null && `${bytes(p.disk_room)} free`],
  ];
  return html`<dl class="facts" data-part="prediction">${figures.map(([name, value, more]) => html`<div key=${name}>
    <dt>${name}</dt><dd>${value}${more && html`<span class="sub">${more}</span>`}</dd></div>`)}</dl>`;
}

function Columns({ columns }) {
  if (!columns.length) return null;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Columns"><table class="plain" data-part="columns">
    <caption class="unseen">Columns of the file</caption>
    <thead><tr><th scope="col">Column</th><th scope="col">Holds</th><th scope="col">Used to</th>
      <th scope="col" class="number">Different</th><th scope="col" class="number">Empty</th><th scope="col">Such as</th></tr></thead>
    <tbody>${columns.map((column, i) => html`<tr key=${i}>
      <th scope="row" class="text">${column.name}</th><td>${column.kind}</td>
      <td>${column.role ? html`<span class="tag role">${column.role}</span>` : "–"}</td>
      <td class="number">${count(column.distinct)}</td><td class="number">${count(column.empty)}</td>
      <td class="text sample">${column.examples.join(" · ")}</td></tr>`)}</tbody>
  </table></div>`;
}

function Rejects({ sample }) {
  return html`<details><summary>${count(sample.rejected)} of the first ${count(sample.records)} records can not be counted</summary>
    <ul class="plain-list">${sample.rejects.map((reject) => html`<li key=${reject.byte_offset}>line ${count(reject.line)}: ${reject.reason}
      <code>${reject.record}</code></li>`)}</ul></details>`;
}

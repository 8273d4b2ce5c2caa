// A table whose numbers are bars, too: a chart that is its own text.

import { html } from "../html.js";
import { count } from "../format.js";

/** Bars for `rows` of `{ key, value }`, the largest first. `name` and `value` are the columns' names. */
export function Bars({ rows, name, value }) {
  const largest = Math.max(1, ...rows.map((row) => Number(row.value ?? 0)));
  const longest = Math.max(...rows.map((row) => count(row.value).length), 0);
  return html`<table class="bars"><caption class="unseen">${value} by ${name}, the largest first</caption>
    <colgroup><col class="bars-key" /><col /><col style=${{ width: `${longest + 1}ch` }} /></colgroup>
    <thead class="unseen"><tr><th scope="col">${name}</th><th scope="col">${value}</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.key}>
      <th scope="row" title=${row.key}>${row.key || "(empty)"}</th>
      <td><span class="bars-bar" style=${{ width: `${Math.max(0, Number(row.value ?? 0) / largest) * 100}%` }}></span></td>
      <td class="number">${count(row.value)}</td>
    </tr>`)}</tbody>
  </table>`;
}

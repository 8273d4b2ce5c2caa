// What a row was: its changes, newest first, each with what it changed.

import { html, useState } from "../html.js";
import { rowPath } from "../api.js";
import { count, moment } from "../format.js";
import { useAnswer } from "../parts/hooks.js";
import { ProblemBox, Quiet } from "../parts/problem.js";
import { ChangeTag } from "./change.js";
import { differing, show } from "./values.js";

/** The history of the row with this key, once it is opened. */
export function History({ table, keyOf }) {
  const [open, setOpen] = useState(false);
  const { data, problem } = useAnswer(open ? rowPath(table.name, keyOf, "/history") : null);
  const changes = data?.changes ?? [];
  return html`<details onToggle=${(event) => setOpen(event.target.open)}>
    <summary>History of this row</summary>
    <${ProblemBox} problem=${problem} />
    ${open && !data && !problem && html`<${Quiet}>Loading<//>`}
    ${data && !changes.length && html`<${Quiet}>None of its changes is kept any more.<//>`}
    ${changes.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="History"><table class="plain history">
      <caption class="unseen">History of the row, newest first</caption>
      <thead><tr><th scope="col" class="number">Version</th><th scope="col">When</th><th scope="col">What</th><th scope="col">Values</th></tr></thead>
      <tbody>${changes.map((change, i) => html`<tr key=${change.version}>
        <td class="number">${count(change.version)}</td><td class="date">${moment(change.changed_at)}</td>
        <td><${ChangeTag} change=${change.change} /></td>
        <td class="text"><${Values} table=${table} row=${change.row} before=${changes[i + 1]?.row} /></td></tr>`)}</tbody>
    </table></div>`}
  </details>`;
}

function Values({ table, row, before }) {
  if (!row) return html`<span class="sub">–</span>`;
  const names = differing(table, before ?? {}, row).filter((name) => !table.key.includes(name));
  const columns = table.columns.filter((column) => names.includes(column.name));
  return columns.map((column) => html`<span class="value" key=${column.name}><span class="sub">${column.name}</span> ${
    before && html`<del>${show(column, before[column.name]) || "–"}</del> `}${show(column, row[column.name]) || "–"}</span>`);
}

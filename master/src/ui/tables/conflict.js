// Two versions of a row side by side: what was typed here, and what somebody else has made of it meanwhile.

import { html } from "../html.js";
import { count, moment } from "../format.js";
import { Icon } from "../parts/icon.js";
import { ProblemBox } from "../parts/problem.js";
import { differing, keyText, show } from "./values.js";

/** The body of the dialog. `onTheirs` is called when the other version is to stay. */
export function Conflict({ edit, onTheirs }) {
  const { table, conflict, problem, busy } = edit;
  const { theirs, intent } = conflict;
  const { text, keep, write } = words(intent, theirs);
  return html`<div class="dialog-body" data-part="conflict">
      <p>${text} <strong>${keyText(edit.key)}</strong>${theirs && html` <span class="sub">${`version ${count(theirs.version)}, ${
        moment(theirs.changed_at)}`}</span>`}</p>
      <${Versions} table=${table} mine=${intent === "delete" ? null : edit.mine} was=${edit.base?.row} theirs=${theirs?.row} />
      <${ProblemBox} problem=${problem} />
    </div>
    <div class="dialog-foot">
      <button type="button" class="button" autofocus onClick=${onTheirs}>${keep}</button>
      <button type="button" class="button danger" disabled=${busy} onClick=${() => edit.overwrite()}>${write}</button>
    </div>`;
}

function words(intent, theirs) {
  if (intent === "delete") {
    return { text: "Since you opened it, somebody else has changed", keep: "Keep their row", write: "Delete it nonetheless" };
  }
  if (!theirs) {
    return { text: "Since you opened it, somebody else has deleted", keep: "Let it be deleted", write: "Add mine again" };
  }
  const text = intent === "add" ? "The table has a row already with the key" : "Since you opened it, somebody else has changed";
  return { text, keep: "Take theirs", write: "Write mine over it" };
}

function Versions({ table, mine, was, theirs }) {
  const other = new Set(mine && theirs ? differing(table, mine, theirs) : []);
  const columns = [["Before", was], ["Mine", mine], ["Theirs", theirs]].filter(([, row]) => row);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Both versions"><table class="plain versions">
    <caption class="unseen">Both versions of the row</caption>
    <thead><tr><th scope="col">Column</th>${columns.map(([text]) => html`<th key=${text} scope="col">${text}</th>`)}</tr></thead>
    <tbody>${table.columns.map((column) => {
      const { name } = column;
      return html`<tr key=${name} class=${other.has(name) ? "differs" : ""}>
        <th scope="row">${other.has(name) && html`<${Icon} name="warning" />`}${name}${other.has(name) && html`<span class="unseen"> differs</span>`}</th>
        ${columns.map(([text, row]) => html`<td key=${text} class="text" data-whose=${text}>${show(column, row[name]) || html`<span class="sub">–</span>`}</td>`)}
      </tr>`;
    })}</tbody>
  </table></div>`;
}

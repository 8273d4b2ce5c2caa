// The dialog in which a row is added, changed, deleted, and in which its history is read.

import { html, useEffect, useState } from "../html.js";
import { count } from "../format.js";
import { Dialog } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { ProblemBox } from "../parts/problem.js";
import { Conflict } from "./conflict.js";
import { Edit } from "./edit.js";
import { Fields } from "./fields.js";
import { History } from "./history.js";
import { onChanges } from "./stream.js";
import { keyId, keyText } from "./values.js";
import { may } from "../session.js";

/** The dialog for `row`; for a new one where that is null. `onDone` is called with what was done, and the key. */
export function RowDialog({ table, row, onClose, onDone }) {
  const [, draw] = useState(0);
  const [edit] = useState(() => new Edit(table, row, () => draw((n) => n + 1), (what, key) => onDone(what, key)));
  edit.done = onDone;
  useEffect(() => {
    if (!row) return undefined;
    return onChanges(({ changes }) => {
      const id = keyId(row.key);
      for (const change of changes) if (keyId(change.key) === id) edit.hear(change);
    });
  }, []);
  if (edit.conflict) {
    return html`<${Dialog} key="conflict" title=${TITLES[edit.conflict.intent]} onClose=${onClose} wide>
      <${Conflict} edit=${edit} onTheirs=${() => onDone("Left as it is", edit.key)} /><//>`;
  }
  return html`<${Dialog} key="form" title=${row ? keyText(row.key) : `Add a row to ${table.name}`} onClose=${onClose} wide>
    <${Form} edit=${edit} onClose=${onClose} /><//>`;
}

const TITLES = {
  add: "There is such a row already",
  update: "Somebody else has changed this row",
  delete: "Somebody else has changed this row",
};

function Form({ edit, onClose }) {
  const { table, base, typed, problems, problem, busy, news } = edit;
  const [asking, setAsking] = useState(false);
  const submit = (event) => {
    event.preventDefault();
    edit.save();
  };
  const idle = base && !Object.keys(edit.changes).length;
  return html`<form onSubmit=${submit} novalidate>
    <div class="dialog-body">
      ${news && html`<p class="notice" role="status" data-part="news"><${Icon} name="warning" />${news.change === "deleted"
        ? "Somebody has deleted this row meanwhile." : "Somebody has changed this row meanwhile."} Saving will show both versions.</p>`}
      <${Fields} table=${table} typed=${typed} problems=${problems} fixed=${Boolean(base)} onChange=${(next) => edit.type(next)} />
      <${ProblemBox} problem=${problem} />
      ${base && html`<${History} table=${table} keyOf=${base.key} />`}
    </div>
    ${asking ? html`<div class="dialog-foot" role="group" aria-label="Delete this row?">
      <span class="foot-text">Delete this row?</span>
      <button type="button" class="button" autofocus onClick=${() => setAsking(false)}>Keep it</button>
      <button type="button" class="button danger" disabled=${busy} onClick=${() => edit.remove()}>Delete the row</button>
    </div>` : html`<div class="dialog-foot">
      ${base && html`<span class="foot-text sub">version ${count(base.version)}</span>
        <button type="button" class="button" ...${may("submit")} onClick=${() => setAsking(true)}><${Icon} name="bin" />Delete</button>`}
      <button type="button" class="button" onClick=${onClose}>Not now</button>
      <button type="submit" class="button primary" disabled=${busy || idle} ...${may("submit")}>${base ? "Save" : "Add it"}</button>
    </div>`}
  </form>`;
}

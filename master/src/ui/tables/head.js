// A table's name, what it is made of, and what can be done with it as a whole.

import { html, useState } from "../html.js";
import { ask, tablePath } from "../api.js";
import { count, moment } from "../format.js";
import { Confirm } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { ProblemBox } from "../parts/problem.js";
import { may } from "../session.js";

const FORMATS = [["csv", "CSV"], ["jsonl", "JSON Lines"], ["json", "JSON"]];

/** The top of a table's page. */
export function TableHead({ table, onAdd }) {
  const figures = [
    ["Rows", count(table.rows)],
    ["Version", count(table.version), "number of the last change"],
    ["Key", table.key.join(", ")],
    ["Columns", count(table.columns.length), table.columns.map((column) => `${column.name} ${column.kind}`).join(", ")],
  ];
  return html`<section class="panel table-head" aria-labelledby="table-title">
    <div class="job-line">
      <h1 id="table-title">${table.name}</h1>
      <div class="actions">
        <button type="button" class="button primary" ...${may("submit")} onClick=${onAdd}><${Icon} name="plus" />Add a row</button>
        <${DropTable} table=${table} />
      </div>
    </div>
    <p class="sub">declared ${moment(table.created_at)}; drop a CSV on this page to import it</p>
    <dl class="facts">${figures.map(([name, value, more]) => html`<div key=${name} data-fact=${name}>
      <dt>${name}</dt><dd>${value}${more && html`<span class="sub">${more}</span>`}</dd></div>`)}</dl>
    <div class="downloads" role="group" aria-label="Download the table">
      <span class="sub">Download</span>
      ${FORMATS.map(([format, text]) => html`<a class="button" key=${format} download=${`${table.name}.${format}`}
        href=${tablePath(table.name, `/data?format=${format}`)}><${Icon} name="download" />${text}</a>`)}
    </div>
  </section>`;
}

/** The button that drops a table, after a question. */
export function DropTable({ table, onDropped = () => { location.hash = "#/tables"; } }) {
  const [asking, setAsking] = useState(false);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const drop = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await ask(tablePath(table.name), { method: "DELETE" });
      setAsking(false);
      onDropped();
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  return html`<button type="button" class="button" aria-label=${`Drop ${table.name}`} ...${may("admin")}
      onClick=${() => setAsking(true)}><${Icon} name="bin" />Drop</button>
    ${asking && html`<${Confirm} title="Drop this table?" verb="Drop the table" busy=${busy} onYes=${drop} onClose=${() => setAsking(false)}>
      <p><strong>${table.name}</strong> with its ${count(table.rows)} rows, their history and its aggregates is removed from the
        master. This can not be undone.</p><${ProblemBox} problem=${problem} /><//>`}`;
}

// The page with all tables, and the way to another one.

import { html, useState } from "../html.js";
import { count, moment } from "../format.js";
import { tableHref } from "../route.js";
import { usePolled } from "../parts/hooks.js";
import { Icon } from "../parts/icon.js";
import { ProblemBox, Quiet } from "../parts/problem.js";
import { DeclareDialog } from "./declare.js";
import { DropTable } from "./head.js";
import { may } from "../session.js";

const POLL_MS = 2000;

/** The page. */
export function TablesPage() {
  const { data, problem, soon } = usePolled("/api/v1/tables", POLL_MS);
  const [declaring, setDeclaring] = useState(false);
  const tables = data?.tables ?? [];
  return html`<h1 class="unseen">Tables</h1>
    <section class="panel" aria-labelledby="tables-title">
      <div class="panel-head"><h2 id="tables-title">Tables</h2>
        <button type="button" class="button primary" ...${may("admin")} onClick=${() => setDeclaring(true)}><${Icon} name="plus" />Declare a table</button></div>
      <${ProblemBox} problem=${problem} again=${soon} />
      ${tables.length > 0 && html`<${Table} tables=${tables} onDropped=${soon} />`}
      ${data && !tables.length && html`<${Quiet}>No tables yet. Declare one, or drop a CSV file anywhere on this page.<//>`}
      ${!data && !problem && html`<${Quiet}>Loading<//>`}
    </section>
    ${declaring && html`<${DeclareDialog} onClose=${() => setDeclaring(false)} />`}`;
}

const HEADS = [["Table", ""], ["Key", ""], ["Columns", ""], ["Rows", "number"], ["Version", "number"], ["Declared", ""], ["", ""]];

function Table({ tables, onDropped }) {
  return html`<table class="list table-list" role="table"><caption class="unseen">Tables</caption>
    <thead role="rowgroup"><tr role="row">${HEADS.map(([text, kind]) => html`<th key=${text} scope="col" role="columnheader" class=${kind}>${
      text || html`<span class="unseen">Actions</span>`}</th>`)}</tr></thead>
    <tbody role="rowgroup">${tables.map((table) => html`<tr role="row" key=${table.name} data-table=${table.name}>
      <th scope="row" role="rowheader"><a class="name" href=${tableHref(table.name)}>${table.name}</a></th>
      <td role="cell" data-label="Key">${table.key.join(", ")}</td>
      <td role="cell" data-label="Columns" class="wide-cell">${table.columns.map(({ name }) => name).join(", ")}</td>
      <td role="cell" data-label="Rows" class="number">${count(table.rows)}</td>
      <td role="cell" data-label="Version" class="number">${count(table.version)}</td>
      <td role="cell" data-label="Declared">${moment(table.created_at)}</td>
      <td role="cell" class="action-cell"><${DropTable} table=${table} onDropped=${onDropped} /></td>
    </tr>`)}</tbody></table>`;
}

// The panel with a table's rows: found, sorted, leafed through, and changed in place while one looks.

import { html, memo, useEffect, useRef, useState } from "../html.js";
import { count, moment, things } from "../format.js";
import { ProblemBox, Quiet } from "../parts/problem.js";
import { SortHead } from "../parts/sort.js";
import { Filters } from "./filters.js";
import { Rows } from "./model.js";
import { onChanges } from "./stream.js";
import { keyId, keyText, show } from "./values.js";

/** The panel. `done` is what this page itself has changed last. */
export const RowsPanel = memo(({ table, done, onOpen }) => {
  const [, draw] = useState(0);
  const box = useRef();
  const [rows] = useState(() => new Rows(table.name, () => draw((n) => n + 1), () => held(box.current)));
  const [form, setForm] = useState(0);
  useEffect(() => {
    rows.read();
    const off = onChanges((batch) => rows.apply(batch));
    return () => {
      off();
      rows.close();
    };
  }, []);
  useEffect(() => {
    if (done.turn) rows.read();
  }, [done.turn]);
  const find = () => {
    const parts = Array.isArray(done.key) ? done.key : [done.key];
    rows.choose({ search: "", conditions: table.key.map((column, i) => ({ column, how: "is", value: String(parts[i]) })) });
    setForm(form + 1);
  };
  const elsewhere = done.what === "Added" && !rows.busy && !rows.at.has(keyId(done.key)) && rows.loaded;
  return html`<section class="panel" aria-labelledby="rows-title">
    <div class="panel-head"><h2 id="rows-title">Rows</h2></div>
    <${Filters} key=${form} table=${table} wanted=${rows.wanted} onChange=${(wanted) => rows.choose(wanted)} />
    <${ProblemBox} problem=${rows.problem} again=${() => rows.read()} />
    ${elsewhere && html`<p class="notice" data-part="elsewhere">${keyText(done.key)} was added; it is not on this page.${" "}
      <button type="button" class="link" onClick=${find}>Find it</button></p>`}
    ${rows.stale > 0 && html`<p class="notice" data-part="stale">${things(rows.stale, "change")} since this page was read.${" "}
      <button type="button" class="link" onClick=${() => rows.read()}>Read it again</button></p>`}
    <div ref=${box}>${rows.rows.length > 0 && html`<${Grid} table=${table} rows=${rows} onOpen=${onOpen} />`}</div>
    ${rows.loaded && !rows.rows.length && !rows.busy && html`<${Quiet}>${rows.narrowed ? "No row is like that." : "There is no row yet."}<//>`}
    ${!rows.loaded && !rows.problem && html`<${Quiet}>Loading<//>`}
    ${rows.loaded && html`<${Pager} rows=${rows} />`}
  </section>`;
});

// Somebody points at a row, or is at one with the keyboard: it must not move away.
const held = (box) => box?.matches(":hover, :focus-within") ?? false;

function Pager({ rows }) {
  const { from, total, next, busy, narrowed } = rows;
  const many = rows.rows.length;
  const range = many ? `Rows ${count(from)} to ${count(from + many - 1)}${narrowed ? " of those found" : ""}` : "No rows";
  return html`<div class="pager" role="group" aria-label="Pages of rows">
    <button type="button" class="button" disabled=${from === 1 || busy} onClick=${() => rows.back(true)}>First</button>
    <button type="button" class="button" disabled=${from === 1 || busy} onClick=${() => rows.back()}>Before</button>
    <span class="sub" aria-live="polite">${range}; the table has ${things(total, "row")}</span>
    <button type="button" class="button" disabled=${!next || busy} onClick=${() => rows.forward()}>Next</button>
  </div>`;
}

function Grid({ table, rows, onOpen }) {
  const columns = ordered(table);
  const { sort, order } = rows.wanted;
  const by = sort || table.key[0];
  const onSort = (id, way) => rows.choose({ sort: id, order: way });
  return html`<div class="scroll rows-box" tabindex="0" role="region" aria-label="Rows of the table" aria-busy=${rows.busy}>
    <table class="plain rows" role="table"><caption class="unseen">Rows of ${table.name}</caption>
      <thead role="rowgroup"><tr role="row">
        ${columns.map((column) => html`<${SortHead} key=${column.name} id=${column.name} text=${column.name} sort=${by} order=${order}
          number=${column.kind === "integer"} onSort=${onSort} />`)}
        <${SortHead} id="_version" text="Version" sort=${by} order=${order} number onSort=${onSort} />
      </tr></thead>
      <tbody role="rowgroup">${rows.rows.map((row) => html`<${Row} key=${row.id} columns=${columns} row=${row} onOpen=${onOpen} />`)}</tbody>
    </table></div>`;
}

// The key's columns first: they say which row it is.
function ordered(table) {
  const key = table.key.map((name) => table.columns.find((column) => column.name === name));
  return [...key, ...table.columns.filter((column) => !table.key.includes(column.name))];
}

const Row = memo(({ columns, row, onOpen }) => html`<tr role="row" data-row=${row.id} class=${row.gone ? "gone" : ""}>
  ${columns.map((column, i) => {
    const kind = column.kind === "integer" ? "number" : column.kind;
    const flash = row.flash?.has(column.name);
    const text = show(column, row.row[column.name]);
    // Another key makes it another element, so that the flash begins anew; but not of what may have the focus.
    const key = flash && i > 0 ? `${i} ${row.version}` : i;
    const name = { key, class: flash ? `${kind} flash` : kind, "data-label": column.name };
    if (i > 0) return html`<td role="cell" ...${name}>${text || html`<span class="sub">–</span>`}</td>`;
    return html`<th scope="row" role="rowheader" ...${name}>${row.gone
      ? html`<span class="name">${text}</span> <span class="tag bad">deleted</span>`
      : html`<button type="button" class="row-open" aria-label=${`Open ${keyText(row.key)}`} onClick=${() => onOpen(row)}>${text}</button>`}</th>`;
  })}
  <td role="cell" class="number" data-label="Version" title=${moment(row.changed_at)}>${count(row.version)}</td>
</tr>`);

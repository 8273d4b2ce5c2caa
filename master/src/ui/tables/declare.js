// The dialog that declares a table: one of the usual ones, or columns, key and aggregates of one's own.

import { html, useState } from "../html.js";
import { ask } from "../api.js";
import { tableHref } from "../route.js";
import { Dialog } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { ProblemBox } from "../parts/problem.js";
import { COLUMN, FIRST, VALUE, draftOf } from "./draft.js";

const SHAPES = [
  ["products", "Products", "name, sku (the key), description; how many there are by name"],
  ["plays", "Plays", "Song and Date (the key), Number of Plays; totals by song and by date"],
  ["own", "Own columns", "what you name"],
];
const KINDS = ["text", "integer", "date"];
const OPS = [["count", "number of rows"], ["sum", "sum of"], ["min", "smallest"], ["max", "largest"]];

/** The dialog. */
export function DeclareDialog({ onClose }) {
  const [form, setForm] = useState(FIRST);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const change = (what) => setForm({ ...form, ...what });
  const declare = async (event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const headers = { "content-type": "application/json" };
      const { name } = await ask("/api/v1/tables", { method: "POST", headers, body: JSON.stringify(draftOf(form)) });
      onClose();
      location.hash = tableHref(name);
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<${Dialog} title="Declare a table" onClose=${onClose} wide>
    <form onSubmit=${declare}>
      <div class="dialog-body">
        <fieldset class="shapes"><legend>Columns</legend>
          ${SHAPES.map(([id, text, more]) => html`<label key=${id} class="shape">
            <input type="radio" name="shape" value=${id} checked=${form.shape === id} autofocus=${id === form.shape} onChange=${() => change({ shape: id })} />
            <span>${text}<span class="sub">${more}</span></span></label>`)}
        </fieldset>
        ${form.shape === "own" && html`<${Own} form=${form} onChange=${change} />`}
        <${ProblemBox} problem=${problem} />
      </div>
      <div class="dialog-foot">
        <button type="button" class="button" onClick=${onClose}>Not now</button>
        <button type="submit" class="button primary" disabled=${busy}>Declare it</button>
      </div>
    </form>
  <//>`;
}

const replaced = (list, i, what) => list.map((one, j) => (j === i ? { ...one, ...what } : one));
const without = (list, i) => list.filter((_, j) => j !== i);

function Own({ form, onChange }) {
  const columns = (list) => onChange({ columns: list });
  // What may have no value is no group, either.
  const named = form.columns.filter((column) => column.name.trim() !== "");
  const groups = named.filter((column) => column.key || !column.nullable);
  const aggregates = (list) => onChange({ aggregates: list });
  return html`<label class="field"><span>Name</span>
      <input name="table" required value=${form.name} pattern="[a-z][a-z0-9_]{0,62}" title="lower-case letters, digits and _, beginning with a letter"
        onInput=${(event) => onChange({ name: event.target.value })} /></label>
    <fieldset class="lines-form"><legend>Columns, and which of them are the key</legend>
      ${form.columns.map((column, i) => html`<${Column} key=${i} column=${column} number=${i + 1}
        onChange=${(what) => columns(replaced(form.columns, i, what))} onRemove=${() => columns(without(form.columns, i))} />`)}
      <button type="button" class="button" onClick=${() => columns([...form.columns, COLUMN])}><${Icon} name="plus" />Column</button>
    </fieldset>
    <fieldset class="lines-form"><legend>Aggregates: totals that are always current</legend>
      ${form.aggregates.map((one, i) => html`<${Aggregate} key=${i} one=${one} number=${i + 1} columns=${named} groups=${groups}
        onChange=${(what) => aggregates(replaced(form.aggregates, i, what))} onRemove=${() => aggregates(without(form.aggregates, i))} />`)}
      <button type="button" class="button" onClick=${() => aggregates([...form.aggregates, { name: "", groupBy: "", values: [VALUE] }])}>
        <${Icon} name="plus" />Aggregate</button>
    </fieldset>`;
}

const Remove = ({ what, onRemove }) => html`<button type="button" class="button quiet-button" aria-label=${`Remove ${what}`}
  onClick=${onRemove}><${Icon} name="close" /></button>`;

function Column({ column, number, onChange, onRemove }) {
  return html`<div class="form-line" role="group" aria-label=${`Column ${number}`}>
    <input aria-label="Name" placeholder="name" value=${column.name} onInput=${(event) => onChange({ name: event.target.value })} />
    <select aria-label="Holds" value=${column.kind} onChange=${(event) => onChange({ kind: event.target.value })}>
      ${KINDS.map((kind) => html`<option key=${kind} value=${kind}>${kind}</option>`)}</select>
    <label class="check"><input type="checkbox" checked=${column.key} onChange=${(event) => onChange({ key: event.target.checked })} />key</label>
    <label class="check"><input type="checkbox" checked=${column.nullable && !column.key} disabled=${column.key}
      onChange=${(event) => onChange({ nullable: event.target.checked })} />may have no value</label>
    <${Remove} what=${`column ${number}`} onRemove=${onRemove} />
  </div>`;
}

function Aggregate({ one, number, columns, groups, onChange, onRemove }) {
  const values = (list) => onChange({ values: list });
  return html`<div class="aggregate-form" role="group" aria-label=${`Aggregate ${number}`}>
    <div class="form-line">
      <label class="field"><span>By</span><select value=${one.groupBy || groups[0]?.name} onChange=${(event) => onChange({ groupBy: event.target.value })}>
        ${groups.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
      <label class="field"><span>Name (may stay empty)</span>
        <input value=${one.name} pattern="[a-z][a-z0-9_]{0,62}" onInput=${(event) => onChange({ name: event.target.value })} /></label>
      <${Remove} what=${`aggregate ${number}`} onRemove=${onRemove} />
    </div>
    ${one.values.map((value, i) => html`<${Value} key=${i} value=${value} number=${i + 1} columns=${columns}
      onChange=${(what) => values(replaced(one.values, i, what))}
      onRemove=${one.values.length > 1 ? () => values(without(one.values, i)) : null} />`)}
    <button type="button" class="button" onClick=${() => values([...one.values, { ...VALUE, op: "sum" }])}><${Icon} name="plus" />Value</button>
  </div>`;
}

function Value({ value, number, columns, onChange, onRemove }) {
  const integers = columns.filter(({ kind }) => kind === "integer");
  return html`<div class="form-line" role="group" aria-label=${`Value ${number}`}>
    <select aria-label="What" value=${value.op} onChange=${(event) => onChange({ op: event.target.value })}>
      ${OPS.map(([op, text]) => html`<option key=${op} value=${op} disabled=${op !== "count" && !integers.length}>${text}</option>`)}</select>
    ${value.op !== "count" && html`<select aria-label="Of" value=${value.column || integers[0]?.name} onChange=${(event) => onChange({ column: event.target.value })}>
      ${integers.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}</select>`}
    <input aria-label="Name of the value" placeholder="name (may stay empty)" value=${value.name} onInput=${(event) => onChange({ name: event.target.value })} />
    ${onRemove && html`<${Remove} what=${`value ${number}`} onRemove=${onRemove} />`}
  </div>`;
}

// What is asked before a file goes into a table: into which one, and what becomes of rows that it does not have.

import { html, useEffect, useState } from "../html.js";
import { ask, query } from "../api.js";
import { bytes, things } from "../format.js";
import { tableHref } from "../route.js";
import { Dialog } from "../parts/dialog.js";
import { useAnswer } from "../parts/hooks.js";
import { Icon } from "../parts/icon.js";
import { ProblemBox, Quiet } from "../parts/problem.js";
import { sayable } from "../upload/spec.js";
import { send } from "../upload/send.js";
import { follow } from "./imports.js";
import { fold } from "./values.js";

// What the master is shown of a file before it knows what to make of it, in bytes.
const SAMPLE = 1 << 20;
const PRESETS = ["products", "plays"];
// Stands for a table that there is not yet; no table can have such a name.
const NEW = "(new)";

const MODES = [
  ["merge", "Merge", "add what is new, change what is there; all other rows stay"],
  ["replace", "Replace", "the table holds what the file holds: all other rows are deleted"],
];

/** The dialog for a file that was chosen or dropped where tables are shown. */
export function ImportDialog({ file, at, onClose }) {
  const { data, problem } = useAnswer("/api/v1/tables");
  const { columns, trouble } = useColumns(file);
  const [form, setForm] = useState({ table: at.page === "table" ? at.id : null, name: nameOf(file), key: [], mode: "merge", maxRejects: "0" });
  const [failed, setFailed] = useState(null);
  const [busy, setBusy] = useState(false);
  const tables = data?.tables ?? [];
  const target = form.table ?? guess(tables, columns);
  const table = tables.find((one) => one.name === target);
  const fresh = target === NEW;
  const start = async (event) => {
    event.preventDefault();
    setBusy(true);
    setFailed(null);
    try {
      const name = fresh ? form.name : target;
      const preset = !fresh && !table && PRESETS.includes(target) ? target : null;
      const rejects = form.maxRejects.trim();
      const parameters = { name: file.name, table: name, mode: form.mode, preset, key: fresh ? form.key.join(",") : null };
      const upload = await send(file, { ...parameters, max_rejects: rejects === "0" ? null : rejects }, fresh ? SAMPLE : 0);
      follow(upload.id, name, file.name);
      onClose();
      location.hash = tableHref(name);
    } catch (error) {
      setFailed(error);
      setBusy(false);
    }
  };
  const change = (what) => setForm({ ...form, ...what });
  const ready = fresh ? form.key.length > 0 && form.name !== "" : Boolean(target);
  return html`<${Dialog} title="Import a file" onClose=${onClose} wide>
    <form onSubmit=${start}>
      <div class="dialog-body">
        <p class="file-line"><strong>${file.name}</strong> <span class="sub">${bytes(file.size)}</span></p>
        <div class="fields"><${Target} tables=${tables} target=${target} onChange=${(name) => change({ table: name })} />
          ${fresh && html`<label class="field"><span>Name of the new table</span>
            <input value=${form.name} pattern="[a-z][a-z0-9_]{0,62}" required title="lower-case letters, digits and _, beginning with a letter"
              onInput=${(event) => change({ name: event.target.value })} /></label>`}
          <label class="field"><span>Rejects allowed</span>
            <input name="max_rejects" value=${form.maxRejects} size="8" pattern=" *[0-9]+([.][0-9]+)?%? *"
              title="a number, or a percentage such as 0.5%" onInput=${(event) => change({ maxRejects: event.target.value })} /></label></div>
        ${fresh && columns && html`<${Keys} columns=${columns} chosen=${form.key} onChange=${(key) => change({ key })} />`}
        <${Modes} mode=${form.mode} onChange=${(mode) => change({ mode })} />
        ${form.mode === "replace" && table && html`<p class="notice" role="alert"><${Icon} name="warning" />Rows of
          <strong> ${table.name}</strong> that are not in the file are deleted; it has ${things(table.rows, "row")} now.</p>`}
        ${columns && table && html`<${Fit} table=${table} columns=${columns} />`}
        ${!columns && !trouble && html`<${Quiet}>Looking at the beginning of the file<//>`}
        <${ProblemBox} problem=${failed ?? problem ?? (trouble?.status === 404 ? null : trouble)} />
      </div>
      <div class="dialog-foot">
        <button type="button" class="button" onClick=${onClose}>Not now</button>
        <button type="submit" class=${form.mode === "replace" ? "button danger" : "button primary"} disabled=${busy || !ready}>
          ${form.mode === "replace" ? "Replace the rows" : "Import it"}</button>
      </div>
    </form>
  <//>`;
}

// A name that a table can have, made of the file's.
function nameOf(file) {
  const plain = file.name.toLowerCase().replace(/\..*$/, "").replace(/[^a-z0-9]+/g, "_").replace(/^[^a-z]+/, "").slice(0, 63);
  return plain || "table_of_file";
}

const fits = (table, columns) => table.columns.every((one) => one.nullable || columns.some(({ name }) => fold(name) === fold(one.name)));

// The first table whose columns the file has; else that of a preset, else a new one. Null as long as nothing is known.
function guess(tables, columns) {
  if (!columns) return tables[0]?.name ?? null;
  const found = tables.find((table) => fits(table, columns));
  if (found) return found.name;
  const has = (...names) => names.every((name) => columns.some((column) => fold(column.name) === name));
  const preset = has("name", "sku", "description") ? "products" : has("song", "date", "number of plays") ? "plays" : null;
  return preset && !tables.some(({ name }) => name === preset) ? preset : NEW;
}

// The columns of the file, as the master reads its beginning.
function useColumns(file) {
  const [state, setState] = useState({ columns: null, trouble: null });
  useEffect(() => {
    const abort = new AbortController();
    const options = { method: "POST", body: file.slice(0, SAMPLE), signal: abort.signal, headers: { "content-type": "application/octet-stream" } };
    ask(`/api/v1/preflight${query({ bytes: file.size })}`, options).then(
      (report) => setState({ columns: report.columns, trouble: null }),
      (trouble) => {
        if (!abort.signal.aborted) setState({ columns: null, trouble });
      },
    );
    return () => abort.abort();
  }, [file]);
  return state;
}

function Target({ tables, target, onChange }) {
  const presets = PRESETS.filter((name) => !tables.some((table) => table.name === name));
  return html`<label class="field"><span>Into the table</span>
    <select name="table" value=${target ?? ""} autofocus onChange=${(event) => onChange(event.target.value)}>
      ${tables.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}
      ${presets.map((name) => html`<option key=${name} value=${name}>${name}, declared as the preset</option>`)}
      <option value=${NEW}>a new one, as the file has it</option>
    </select></label>`;
}

function Keys({ columns, chosen, onChange }) {
  const toggle = (name) => onChange(chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name]);
  return html`<fieldset class="roles"><legend>Key: the columns that say which row it is, in this order${
      chosen.length > 0 && html`: <strong>${chosen.join(", ")}</strong>`}</legend>
    ${columns.map(({ name, examples }) => html`<label class="check" key=${name} title=${examples.join(" · ")}>
      <input type="checkbox" checked=${chosen.includes(name)} disabled=${!sayable(name)} onChange=${() => toggle(name)} />${name}</label>`)}
  </fieldset>`;
}

function Modes({ mode, onChange }) {
  return html`<fieldset class="shapes two"><legend>Mode</legend>
    ${MODES.map(([id, text, more]) => html`<label key=${id} class="shape">
      <input type="radio" name="mode" value=${id} checked=${mode === id} onChange=${() => onChange(id)} />
      <span>${text}<span class="sub">${more}</span></span></label>`)}
  </fieldset>`;
}

function Fit({ table, columns }) {
  const names = columns.map(({ name }) => fold(name));
  const missing = table.columns.filter((column) => !names.includes(fold(column.name))).map((column) => column.name);
  const known = table.columns.map(({ name }) => fold(name));
  const more = columns.filter(({ name }) => !known.includes(fold(name))).map(({ name }) => name);
  return html`<p class=${missing.length ? "verdict bad" : "verdict good"} data-part="fit">${missing.length
    ? `✕ The file has no ${missing.join(", ")}` : `✓ The file has all columns of ${table.name}`}
    ${more.length > 0 && html`<span class="sub"> ${more.join(", ")} will not be read</span>`}</p>`;
}

// A field for each column of a row, of the column's kind, with what is wrong with it beside it.

import { html, useState } from "../html.js";

// Text that is longer than this, or has line ends, gets a field of several lines.
const LINE = 60;

const HINTS = { text: "text", integer: "whole number", date: "date" };

/**
 * The fields. `typed` is a text for each column (null: nothing); `problems` what is wrong, by column; `fixed`
 * whether the key can not be changed.
 */
export function Fields({ table, typed, problems, fixed, onChange }) {
  const first = table.columns.find((column) => !(fixed && table.key.includes(column.name)));
  return html`<div class="row-fields">
    ${table.columns.map((column, i) => {
      const isKey = table.key.includes(column.name);
      return html`<${Field} key=${column.name} id=${`field-${i}`} column=${column} isKey=${isKey} fixed=${fixed && isKey}
        value=${typed[column.name]} problem=${problems[column.name]} first=${column === first}
        onChange=${(value) => onChange({ ...typed, [column.name]: value })} />`;
    })}
  </div>`;
}

function Field({ id, column, isKey, fixed, value, problem, first, onChange }) {
  const said = `${HINTS[column.kind]}${isKey ? ", key" : ""}`;
  return html`<div class="row-field" data-column=${column.name}>
    <label for=${id}><span class="name">${column.name}</span> <span class="sub">${said}</span></label>
    <${Input} ...${{ id, column, isKey, fixed, value, problem, first, onChange }} />
    ${column.nullable && html`<label class="check"><input type="checkbox" checked=${value === null} aria-label=${`${column.name} has no value`}
      onChange=${(event) => onChange(event.target.checked ? null : "")} />no value</label>`}
    ${problem && html`<p class="field-problem" id=${`${id}-problem`}>${problem}</p>`}
  </div>`;
}

function Input({ id, column, isKey, fixed, value, problem, first, onChange }) {
  const [long] = useState(() => column.kind === "text" && (!isKey || (value ?? "").length > LINE || /[\r\n]/.test(value ?? "")));
  const attributes = {
    id,
    value: value ?? "",
    readonly: fixed,
    autofocus: first,
    autocomplete: "off",
    "aria-invalid": problem ? "true" : null,
    "aria-describedby": problem ? `${id}-problem` : null,
    onInput: (event) => onChange(event.target.value),
  };
  if (long) return html`<textarea rows="1" ...${attributes} onKeyDown=${submit}></textarea>`;
  return html`<input type=${column.kind === "date" ? "date" : "text"} inputmode=${column.kind === "integer" ? "numeric" : null} ...${attributes} />`;
}

// Enter is a new line there; with Control it saves.
function submit(event) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

// The form of a spec: one of the usual ones, or a role for each column.

import { html } from "../html.js";
import { ROLES, sayable, withRole } from "./spec.js";

const SHAPES = [
  ["plays", "Plays", "Song and Date; sum of Number of Plays"],
  ["products", "Products", "how often each name stands there"],
  ["custom", "Other columns", "group and sum what you choose"],
];

/** The fields; calls `onChange` with a whole form. */
export function SpecForm({ form, columns, onChange }) {
  const set = (name) => (event) => onChange({ ...form, [name]: event.target.value });
  return html`<fieldset class="shapes"><legend>Compute</legend>
      ${SHAPES.map(([id, text, more]) => html`<label key=${id} class="shape">
        <input type="radio" name="shape" value=${id} checked=${form.shape === id} autofocus=${id === "plays"}
          onChange=${() => onChange({ ...form, shape: id })} />
        <span>${text}<span class="sub">${more}</span></span></label>`)}
    </fieldset>
    ${form.shape === "custom" && html`<${Roles} form=${form} columns=${columns} onChange=${onChange} />`}
    <div class="fields">
      <label class="field"><span>Priority</span>
        <select name="priority" value=${form.priority} onChange=${set("priority")}>
          ${["high", "default", "low"].map((text) => html`<option key=${text} value=${text}>${text}</option>`)}</select></label>
      <label class="field"><span>Rejects allowed</span>
        <input name="max_rejects" value=${form.maxRejects} size="8" pattern=" *[0-9]+([.][0-9]+)?%? *"
          title="a number, or a percentage such as 0.5%" onInput=${set("maxRejects")} /></label>
      <label class="field"><span>Order of rows</span>
        <select name="order" value=${form.order} onChange=${set("order")}>
          <option value="sorted">sorted</option><option value="first-seen">as first seen</option></select></label>
      <label class="check"><input type="checkbox" checked=${form.keepInput}
        onChange=${(event) => onChange({ ...form, keepInput: event.target.checked })} />Keep the input, so that it can be verified</label>
    </div>`;
}

function Roles({ form, columns, onChange }) {
  const role = new Map(form.roles);
  if (!columns.length) return null;
  return html`<fieldset class="roles"><legend>What to do with each column</legend>
    ${columns.map((column) => html`<label class="field" key=${column.name}><span>${column.name}</span>
      <select value=${role.get(column.name) ?? ""} disabled=${!sayable(column.name)}
        title=${sayable(column.name) ? null : "A name with , or = can be given only over the API"}
        onChange=${(event) => onChange(withRole(form, column.name, event.target.value))}>
        <option value="">nothing</option>
        ${ROLES.map((text) => html`<option key=${text} value=${text}>${text}</option>`)}
      </select></label>`)}
    <label class="check"><input type="checkbox" checked=${form.count}
      onChange=${(event) => onChange({ ...form, count: event.target.checked })} />Count the records of each group</label>
  </fieldset>`;
}

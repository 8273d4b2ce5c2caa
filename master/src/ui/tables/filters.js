// What narrows the rows down: a text that is somewhere in them, and conditions on columns.

import { html, useEffect, useState } from "../html.js";
import { useSettled } from "../parts/hooks.js";
import { Icon } from "../parts/icon.js";

const HOW = {
  text: [["is", "is"], ["prefix", "begins with"]],
  integer: [["is", "is"], ["from", "is at least"], ["before", "is less than"]],
  date: [["is", "is"], ["from", "is on or after"], ["before", "is before"]],
};

/** The form; calls `onChange` with `{ search, conditions }`. */
export function Filters({ table, wanted, onChange }) {
  const [typed, setTyped] = useState({ search: wanted.search, conditions: wanted.conditions });
  const settled = useSettled(typed);
  useEffect(() => {
    const conditions = settled.conditions.filter(({ value }) => value !== "");
    const next = { search: settled.search, conditions };
    const now = { search: wanted.search, conditions: wanted.conditions };
    if (JSON.stringify(next) !== JSON.stringify(now)) onChange(next);
  }, [settled]);
  const change = (i, what) => {
    const conditions = typed.conditions.map((one, j) => (j === i ? { ...one, ...what } : one));
    setTyped({ ...typed, conditions });
  };
  const add = () => setTyped({ ...typed, conditions: [...typed.conditions, { column: table.columns[0].name, how: "is", value: "" }] });
  const remove = (i) => setTyped({ ...typed, conditions: typed.conditions.filter((_, j) => j !== i) });
  const texts = table.columns.some((column) => column.kind === "text");
  return html`<form class="filter" role="search" aria-label="Rows" onSubmit=${(event) => event.preventDefault()}>
    ${texts && html`<input type="search" aria-label="Search rows" placeholder="Search all text" value=${typed.search}
      onInput=${(event) => setTyped({ ...typed, search: event.target.value })} />`}
    ${typed.conditions.map((one, i) => html`<${Condition} key=${i} table=${table} one=${one} number=${i + 1}
      onChange=${(what) => change(i, what)} onRemove=${() => remove(i)} />`)}
    <button type="button" class="button" onClick=${add}><${Icon} name="plus" />Filter</button>
  </form>`;
}

function Condition({ table, one, number, onChange, onRemove }) {
  const { kind } = table.columns.find((column) => column.name === one.column) ?? { kind: "text" };
  const choose = (event) => {
    const next = table.columns.find((column) => column.name === event.target.value);
    const fits = HOW[next.kind].some(([how]) => how === one.how);
    onChange({ column: next.name, how: fits ? one.how : "is", value: next.kind === kind ? one.value : "" });
  };
  return html`<div class="condition" role="group" aria-label=${`Filter ${number}`}>
    <select aria-label="Column" value=${one.column} onChange=${choose}>
      ${table.columns.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}</select>
    <select aria-label="Comparison" value=${one.how} onChange=${(event) => onChange({ how: event.target.value })}>
      ${HOW[kind].map(([how, text]) => html`<option key=${how} value=${how}>${text}</option>`)}</select>
    <input type=${kind === "date" ? "date" : "search"} inputmode=${kind === "integer" ? "numeric" : null} aria-label="Value"
      value=${one.value} onInput=${(event) => onChange({ value: event.target.value })} />
    <button type="button" class="button quiet-button" aria-label="Remove this filter" onClick=${onRemove}><${Icon} name="close" /></button>
  </div>`;
}

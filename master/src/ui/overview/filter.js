// What narrows the list of jobs down: a name, states, a priority, and the order.

import { html, useEffect, useState } from "../html.js";
import { useSettled } from "../parts/hooks.js";

const GROUPS = [
  ["all", "All", []],
  ["active", "Active", ["receiving", "running", "merging"]],
  ["succeeded", "Succeeded", ["succeeded"]],
  ["failed", "Failed", ["failed"]],
  ["cancelled", "Cancelled", ["cancelled"]],
];

const ORDERS = [
  ["opened desc", "Newest first"],
  ["opened asc", "Oldest first"],
  ["ended desc", "Last ended first"],
  ["name asc", "By name"],
  ["size desc", "Largest first"],
  ["size asc", "Smallest first"],
];

/**
 * The form above the list; calls `onChange` with what was chosen and nothing else: `value` is as old as the last
 * frame, and whoever chooses twice before the next one would take the first choice back.
 */
export function Filter({ value, onChange }) {
  const [name, setName] = useState(value.name);
  const settled = useSettled(name);
  useEffect(() => {
    if (settled !== value.name) onChange({ name: settled });
  }, [settled]);
  const states = value.states.join();
  const order = (event) => {
    const [sort, way] = event.target.value.split(" ");
    onChange({ name, sort, order: way });
  };
  return html`<form class="filter" role="search" aria-label="Jobs" onSubmit=${(event) => event.preventDefault()}>
    <input type="search" aria-label="Search jobs by name" placeholder="Search by name" value=${name}
      onInput=${(event) => setName(event.target.value)} />
    <div class="segments" role="group" aria-label="State">
      ${GROUPS.map(([id, text, group]) => html`<button type="button" key=${id} class="segment"
        aria-pressed=${states === group.join()}
        onClick=${() => onChange({ name, states: group })}>${text}</button>`)}
    </div>
    <select aria-label="Priority" value=${value.priority}
      onChange=${(event) => onChange({ name, priority: event.target.value })}>
      <option value="">Any priority</option>
      ${["high", "default", "low"].map((text) => html`<option key=${text} value=${text}>${text}</option>`)}
    </select>
    <select aria-label="Order" value=${`${value.sort} ${value.order}`} onChange=${order}>
      ${ORDERS.map(([id, text]) => html`<option key=${id} value=${id}>${text}</option>`)}
    </select>
  </form>`;
}

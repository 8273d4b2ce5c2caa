// The head of a column that sorts: a button, and for a screen reader what the order is.

import { html } from "../html.js";

/**
 * A column's head. `id` is what is sorted by, `sort` and `order` what it is now; `onSort` is called with both.
 */
export function SortHead({ id, text, sort, order, number = false, onSort }) {
  const now = sort === id;
  const next = now && order === "asc" ? "desc" : "asc";
  return html`<th scope="col" role="columnheader" class=${number ? "number" : ""}
    aria-sort=${now ? (order === "asc" ? "ascending" : "descending") : null}>
    <button type="button" class="sort" onClick=${() => onSort(id, next)}>${text}
      <span class="sort-mark" aria-hidden="true">${now ? (order === "asc" ? "▲" : "▼") : "↕"}</span></button></th>`;
}

// What the rows come to: each aggregate as bars of its largest groups and as a table, current at any moment.

import { html, useEffect, useState } from "../html.js";
import { query, tablePath } from "../api.js";
import { count, things } from "../format.js";
import { Bars } from "../parts/bars.js";
import { useAnswer, useSettled } from "../parts/hooks.js";
import { ProblemBox, Quiet } from "../parts/problem.js";
import { SortHead } from "../parts/sort.js";

const TOP = 10;
const PAGE = 25;

/** The panel with a table's aggregates. */
export function Aggregates({ table }) {
  const [chosen, setChosen] = useState(0);
  const aggregate = table.aggregates[chosen];
  if (!aggregate) {
    return html`<section class="panel" aria-labelledby="aggregate-title"><h2 id="aggregate-title">Aggregates</h2>
      <${Quiet}>This table was declared without any.<//></section>`;
  }
  return html`<section class="panel" aria-labelledby="aggregate-title">
    <div class="panel-head"><h2 id="aggregate-title">${aggregate.name}</h2>
      ${table.aggregates.length > 1 && html`<div class="segments" role="group" aria-label="Aggregate">
        ${table.aggregates.map(({ name, group_by: by }, i) => html`<button type="button" key=${name} class="segment" title=${name}
          aria-pressed=${i === chosen} onClick=${() => setChosen(i)}>by ${by}</button>`)}</div>`}</div>
    <${Top} key=${`top ${aggregate.name}`} table=${table} aggregate=${aggregate} />
    <${Groups} key=${aggregate.name} table=${table} aggregate=${aggregate} />
  </section>`;
}

const path = (table, aggregate, asked) => tablePath(table.name, `/aggregates/${encodeURIComponent(aggregate.name)}${query(asked)}`);

// The groups are others with each change of the table: then they are asked for anew, but not before the
// last answer is there. Else a table that changes all the time would never show any.
function useGroups(table, aggregate, asked) {
  const [turn, setTurn] = useState(table.version);
  const answer = useAnswer(path(table, aggregate, asked), turn);
  useEffect(() => {
    if (!answer.busy) setTurn(table.version);
  }, [answer.busy, table.version]);
  return answer;
}

const groupText = (value) => (value === null ? "(nothing)" : String(value));

function Top({ table, aggregate }) {
  const [first] = aggregate.values;
  const { data, problem } = useGroups(table, aggregate, { sort: first.name, order: "desc", limit: TOP });
  if (problem) return html`<${ProblemBox} problem=${problem} />`;
  if (!data) return html`<${Quiet}>Loading<//>`;
  const rows = data.rows.map(([group, value]) => ({ key: groupText(group), value }));
  return html`<figure class="chart top">
    <figcaption>${aggregate.group_by} with the most: ${first.name}<span class="sub">${things(data.groups, "group")}</span></figcaption>
    ${rows.length ? html`<${Bars} rows=${rows} name=${aggregate.group_by} value=${first.name} />` : html`<${Quiet}>There is no row yet.<//>`}
  </figure>`;
}

function Groups({ table, aggregate }) {
  const [order, setOrder] = useState({ sort: aggregate.group_by, order: "asc" });
  const [typed, setTyped] = useState("");
  const [cursors, setCursors] = useState([null]);
  const wanted = useSettled(typed);
  const column = table.columns.find((one) => one.name === aggregate.group_by);
  const text = column?.kind === "text";
  const asked = { [text ? "prefix" : "group"]: wanted, ...order, limit: PAGE, cursor: cursors[cursors.length - 1] };
  const { data, problem, busy } = useGroups(table, aggregate, asked);
  const onSort = (sort, way) => {
    setOrder({ sort, order: way });
    setCursors([null]);
  };
  const onType = (event) => {
    setTyped(event.target.value);
    setCursors([null]);
  };
  return html`<form class="filter" role="search" aria-label="Groups" onSubmit=${(event) => event.preventDefault()}>
      <label class="field"><span>${aggregate.group_by} ${text ? "begins with" : "is"}</span>
        <input type=${column?.kind === "date" ? "date" : "search"} name="group" value=${typed} onInput=${onType} /></label>
    </form>
    <${ProblemBox} problem=${problem} />
    ${data && html`<div class="scroll" tabindex="0" role="region" aria-label="Groups of the aggregate" aria-busy=${busy}>
      <table class="plain groups"><caption class="unseen">${aggregate.name}</caption>
        <thead><tr>${data.columns.map((name, i) => html`<${SortHead} key=${name} id=${name} text=${name} number=${i > 0} ...${order} onSort=${onSort} />`)}</tr></thead>
        <tbody>${data.rows.map((row) => html`<tr key=${row[0]}>
          ${row.map((value, i) => (i ? html`<td key=${i} class="number">${count(value)}</td>` : html`<th key=${i} scope="row" class="text">${groupText(value)}</th>`))}</tr>`)}</tbody>
      </table></div>
      ${!data.rows.length && html`<${Quiet}>No group is like that.<//>`}
      <div class="pager" role="group" aria-label="Pages of groups">
        <button type="button" class="button" disabled=${cursors.length < 2} onClick=${() => setCursors(cursors.slice(0, -1))}>Before</button>
        <span class="sub">${range(data, cursors)}</span>
        <button type="button" class="button" disabled=${!data.next} onClick=${() => setCursors([...cursors, data.next])}>Next</button>
      </div>`}`;
}

function range({ rows, groups }, cursors) {
  const from = (cursors.length - 1) * PAGE + 1;
  return rows.length ? `${count(from)} to ${count(from + rows.length - 1)}; ${things(groups, "group")} in all` : things(groups, "group");
}

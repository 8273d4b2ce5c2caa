// A look at the result: some of its rows, found by what they begin with or are. Of a job that runs: the
// totals so far, and how much of the input they cover.

import { html, useEffect, useRef, useState } from "../html.js";
import { jobPath, query } from "../api.js";
import { ended } from "../store.js";
import { bytes, count, percent, things } from "../format.js";
import { useAnswer, useSettled } from "../parts/hooks.js";
import { ProblemBox, Quiet } from "../parts/problem.js";

const PAGE = 50;
const REFRESH_MS = 5000;
// Parameters of a look; a column of such a name can not be asked for by name.
const TAKEN = new Set(["limit", "offset", "prefix", "partial", "format"]);

/** The panel with rows of a result. */
export function LookPanel({ job }) {
  const [open, setOpen] = useState(false);
  const done = job.state === "succeeded";
  if (ended(job) && !done) return null;
  return html`<section class="panel" aria-labelledby="look-title">
    <div class="panel-head">
      <h2 id="look-title">${done ? "Result" : "Result so far"}</h2>
      ${!done && html`<button type="button" class="button" aria-expanded=${open} onClick=${() => setOpen(!open)}>
        ${open ? "Hide" : "Look at what is counted so far"}</button>`}
    </div>
    ${(done || open) && html`<${Rows} key=${done} job=${job} partial=${!done} />`}
  </section>`;
}

function Rows({ job, partial }) {
  const [wanted, setWanted] = useState({ prefix: "" });
  const [offset, setOffset] = useState(0);
  const [turn, setTurn] = useState(0);
  const waiting = useRef(false);
  const filter = useSettled(wanted);
  useEffect(() => {
    if (!partial) return undefined;
    // A look that takes long is waited for, not asked for again.
    const timer = setInterval(() => !waiting.current && setTurn((n) => n + 1), REFRESH_MS);
    return () => clearInterval(timer);
  }, [partial]);
  const asked = query({ format: "json", limit: PAGE, offset, partial: partial ? "true" : null, ...filter });
  const { data, problem, busy } = useAnswer(jobPath(job.id, `/result${asked}`), `${turn} ${job.repaired_by}`);
  waiting.current = busy;
  const change = (name) => (event) => {
    setWanted({ ...wanted, [name]: event.target.value });
    setOffset(0);
  };
  return html`
    <${Filters} columns=${job.spec.group_by} wanted=${wanted} change=${change} />
    ${data?.coverage && html`<p class="notice" role="status"><strong>Partial:</strong> ${percent(data.coverage.share)} of the input,
      ${bytes(data.coverage.bytes)} of ${bytes(data.coverage.of_bytes)}, ${things(data.coverage.tasks, "task")}</p>`}
    ${problem?.status === 409 ? html`<${Quiet}>${problem.detail}<//>` : html`<${ProblemBox} problem=${problem} again=${() => setTurn(turn + 1)} />`}
    ${data && html`<${Table} look=${data} keys=${job.spec.group_by} busy=${busy} />
      <div class="pager">
        <button type="button" class="button" disabled=${offset === 0} onClick=${() => setOffset(Math.max(0, offset - PAGE))}>Before</button>
        <span class="sub" aria-live="polite">${range(data, offset)}</span>
        <button type="button" class="button" disabled=${data.next_offset === null} onClick=${() => setOffset(data.next_offset)}>Next</button>
      </div>`}
    ${!data && !problem && html`<${Quiet}>Loading<//>`}`;
}

function range(look, offset) {
  if (!look.rows.length) return "No row is like that";
  const all = look.total_rows === null ? "" : `; the result has ${things(look.total_rows, "row")}`;
  return `Rows ${count(offset + 1)} to ${count(offset + look.rows.length)} of those found${all}`;
}

function Filters({ columns, wanted, change }) {
  return html`<form class="filter" role="search" aria-label="Result" onSubmit=${(event) => event.preventDefault()}>
    <label class="field"><span>${columns[0].name} begins with</span>
      <input type="search" name="prefix" value=${wanted.prefix} onInput=${change("prefix")} /></label>
    ${columns.filter((column) => !TAKEN.has(column.name.toLowerCase())).map((column) => html`
      <label class="field" key=${column.name}><span>${column.name} is</span>
        <input type=${column.kind === "date" ? "date" : "search"} name=${`is ${column.name}`}
          value=${wanted[column.name] ?? ""} onInput=${change(column.name)} /></label>`)}
  </form>`;
}

const kind = (key) => (!key ? "number" : key.kind === "text" ? "text" : "date");

function Table({ look, keys, busy }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Rows of the result" aria-busy=${busy}>
    <table class="plain result"><caption class="unseen">Rows of the result</caption>
      <thead><tr>${look.columns.map((name, i) => html`<th key=${i} scope="col" class=${i < keys.length ? "" : "number"}>${name}</th>`)}</tr></thead>
      <tbody>${look.rows.map((row, i) => html`<tr key=${i}>
        ${row.map((value, j) => html`<td key=${j} class=${kind(keys[j])}>${keys[j] ? value : count(value)}</td>`)}</tr>`)}</tbody>
    </table></div>`;
}

// What came out, drawn: the largest values of the first column, and the total over time.

import { html, useMemo, useState } from "../html.js";
import { jobPath } from "../api.js";
import { count, short } from "../format.js";
import { useAnswer } from "../parts/hooks.js";
import { Bars } from "../parts/bars.js";
import { LineChart } from "../parts/chart.js";
import { ProblemBox } from "../parts/problem.js";

const FEW = 10;

/** The charts of a result. */
export function Charts({ job }) {
  const turn = job.repaired_by ?? "";
  const { data, problem, busy } = useAnswer(jobPath(job.id, "/result/summary"), turn);
  // A master that has no summaries still has results.
  if (problem?.status === 404 || problem?.status === 409) return null;
  return html`<section class="panel" aria-labelledby="charts-title" aria-busy=${busy}>
    <h2 id="charts-title">What came out</h2>
    <${ProblemBox} problem=${problem} />
    ${data && html`<div class="pair">
      <${Top} summary=${data} />
      ${data.dates.length > 0 && html`<${Dates} summary=${data} />`}
    </div>`}
  </section>`;
}

function Top({ summary }) {
  const [all, setAll] = useState(false);
  const { top, key, value, keys } = summary;
  const shown = all ? top : top.slice(0, FEW);
  return html`<figure class="chart top">
    <figcaption>${key} with the most: ${value}<span class="sub">${count(keys)} different</span></figcaption>
    <div class=${all ? "scroll" : ""} tabindex=${all ? 0 : null} role=${all ? "region" : null} aria-label=${all ? "The largest" : null}>
    <${Bars} rows=${shown} name=${key} value=${value} /></div>
    ${top.length > FEW && html`<button type="button" class="link" aria-expanded=${all} onClick=${() => setAll(!all)}>
      ${all ? `The first ${FEW}` : `The first ${top.length}`}</button>`}
  </figure>`;
}

function Dates({ summary }) {
  const { dates, span, value, date } = summary;
  const data = useMemo(() => [dates.map((row) => Date.parse(row.date) / 1000), dates.map((row) => Number(row.value))], [dates]);
  const day = (x) => new Date(x * 1000).toISOString().slice(0, { day: 10, month: 7, year: 4 }[span] ?? 10);
  return html`<${LineChart} title=${`${value} by ${span}`} data=${data} time format=${short} sayX=${day} xName=${date} />`;
}

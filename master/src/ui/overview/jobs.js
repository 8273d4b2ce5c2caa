// The table of jobs. A row is drawn again only when its own job has changed.

import { html, memo, useEffect } from "../html.js";
import { rateNow, store } from "../store.js";
import { useNow, useStore } from "../parts/hooks.js";
import { ProgressBar } from "../parts/bar.js";
import { State } from "../parts/icon.js";
import { ProblemBox, Quiet } from "../parts/problem.js";
import { ago, count, moment, rate, things } from "../format.js";
import { howFar, howLong, share } from "../progress.js";
import { jobHref } from "../route.js";
import { Filter } from "./filter.js";
import { JobList } from "./list.js";

// Outlives the page, so that who comes back finds what was chosen.
const jobs = new JobList();

/** The list of jobs with what narrows it down. */
export function Jobs() {
  useStore(() => store.turn);
  const snapshots = useStore(() => store.snapshots);
  useEffect(() => void jobs.refresh(), []);
  useEffect(() => {
    if (snapshots > 1) jobs.refresh();
  }, [snapshots]);
  const now = useNow(10_000);
  const rows = jobs.rows();
  return html`<section class="panel jobs" id="jobs" aria-labelledby="jobs-title">
    <div class="panel-head">
      <h2 id="jobs-title">Jobs</h2>
      <${Filter} value=${jobs.query} onChange=${(wanted) => jobs.choose(wanted)} />
    </div>
    <${ProblemBox} problem=${jobs.problem} again=${() => jobs.refresh()} />
    ${rows.length > 0 && html`<${Table} rows=${rows} now=${now} />`}
    ${rows.length === 0 && !jobs.busy && !jobs.problem && html`<${Empty} all=${jobs.everything()} />`}
    <div class="panel-foot">
      <span aria-live="polite">${rows.length > 0 && `${things(rows.length, "job")}${jobs.cursor ? " shown" : ""}`}</span>
      ${jobs.cursor && html`<button type="button" class="button" disabled=${jobs.busy}
        onClick=${() => jobs.more()}>${jobs.busy ? "Loading" : "More"}</button>`}
    </div>
  </section>`;
}

const Empty = ({ all }) =>
  all
    ? html`<${Quiet}>No jobs yet. Drop a CSV file anywhere on this page, or choose one above.<//>`
    : html`<${Quiet}>No job is like that.<//>`;

function Table({ rows, now }) {
  return html`<table class="list job-list" role="table">
    <caption class="unseen">Jobs</caption>
    <thead role="rowgroup"><tr role="row">
      ${["Job", "State", "Progress", "Time", "Rate", "Records", "Rows"].map((text, i) => html`<th scope="col"
        role="columnheader" key=${text} class=${i > 2 ? "number" : ""}>${text}</th>`)}
    </tr></thead>
    <tbody role="rowgroup">
      ${rows.map((job) => html`<${Row} key=${job.id} job=${job} now=${now} />`)}
    </tbody>
  </table>`;
}

const Row = memo(({ job, now }) => {
  const done = share(job);
  const note = job.waiting_for ? `waits for ${job.waiting_for}` : job.state === "failed" ? job.error : null;
  return html`<tr role="row" data-job=${job.id} data-state=${job.state}>
    <th scope="row" role="rowheader">
      <a class="name" href=${jobHref(job.id)} title=${job.name}>${job.name}</a>
      <span class="sub" title=${moment(job.opened_at)}>${ago(job.opened_at, now)}
        ${job.priority !== "default" && html` <span class="tag">${job.priority}</span>`}
        ${job.ingest && html` <span class="tag">into ${job.ingest.table}</span>`}
        ${job.repairs && html` <span class="tag">repair</span>`}</span>
    </th>
    <td role="cell"><${State} state=${job.state} /></td>
    <td role="cell" class="progress-cell">
      <${ProgressBar} share=${done} state=${job.state} label=${`Progress of ${job.name}`} />
      <span class="sub" title=${note}>${note ? html`<em class="note">${note}</em>` : howFar(job)}</span>
    </td>
    <td role="cell" class="number" data-label="Time">${howLong(job)}</td>
    <td role="cell" class="number" data-label="Rate">${rate(rateNow(job))}</td>
    <td role="cell" class="number" data-label="Records">${count(job.receipt.records)}</td>
    <td role="cell" class="number" data-label="Rows">${job.result ? count(job.result.rows) : "–"}</td>
  </tr>`;
});

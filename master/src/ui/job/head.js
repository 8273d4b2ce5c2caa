// A job's name, state, progress and figures, and what can be done with it.

import { html, useState } from "../html.js";
import { ask, jobPath } from "../api.js";
import { dropJob, ended, putJob, rateNow } from "../store.js";
import { bytes, count, moment, rate, short, things } from "../format.js";
import { howFar, howLong, share } from "../progress.js";
import { ProgressBar } from "../parts/bar.js";
import { Confirm } from "../parts/dialog.js";
import { Icon, State } from "../parts/icon.js";
import { ProblemBox } from "../parts/problem.js";
import { jobHref } from "../route.js";
import { may } from "../session.js";

const FORMATS = [
  ["csv", "CSV"],
  ["csv.gz", "CSV, gzip"],
  ["jsonl", "JSON Lines"],
  ["arrow", "Arrow"],
  ["parquet", "Parquet"],
];

/** The top of a job's page. */
export function JobHead({ job }) {
  return html`<section class="panel job-head" aria-labelledby="job-title">
    <div class="job-line">
      <h1 id="job-title" title=${job.name}>${job.name}</h1>
      <span role="status"><${State} state=${job.state} /></span>
      ${job.priority !== "default" && html`<span class="tag">${job.priority} priority</span>`}
      <${Actions} job=${job} />
    </div>
    <p class="sub job-facts"><code>${job.id}</code> <span>opened ${moment(job.opened_at)}</span>
      ${job.expires_at && html`<span>kept until ${moment(job.expires_at)}</span>`}
      ${job.repairs && html`<a href=${jobHref(job.repairs)}>repairs another job</a>`}
      ${job.repaired_by && html`<a href=${jobHref(job.repaired_by)}>repaired by another job</a>`}</p>
    <${ProgressBar} share=${share(job)} state=${job.state} label="Progress" />
    <${Figures} job=${job} />
    ${job.waiting_for && html`<p class="notice"><${Icon} name="warning" />Waits for ${job.waiting_for}</p>`}
    ${job.error && html`<div class="problem" role="alert"><${Icon} name="warning" />
      <div><strong>Why it failed</strong><p>${job.error}</p></div></div>`}
    ${job.state === "succeeded" && html`<${Downloads} job=${job} />`}
  </section>`;
}

function Figures({ job }) {
  const { tasks, receipt, progress, result } = job;
  const figures = [
    [ended(job) ? "Input" : "Counted", howFar(job)],
    [ended(job) ? "Took" : "Time", howLong(job)],
    [ended(job) ? "Rate" : "Rate now", rate(rateNow(job))],
    ["Records", count(receipt.records), `${short(progress.records_per_second)}/s on average`],
    ["Tasks", `${count(tasks.done)} of ${count(tasks.cut)}`, [
      tasks.running && `${count(tasks.running)} running`, tasks.queued && `${count(tasks.queued)} waiting`,
      tasks.retried && `${things(tasks.retried, "attempt")} more`].filter(Boolean).join(", ")],
    ["Rows", result ? count(result.rows) : "–", result && bytes(result.bytes)],
    ...(result?.totals ?? []).map(({ name, value }) => [name, count(value), "over the whole input"]),
  ];
  return html`<dl class="facts">
    ${figures.map(([name, value, more]) => html`<div key=${name}>
      <dt title=${name}>${name}</dt><dd>${value}${more ? html`<span class="sub">${more}</span>` : null}</dd></div>`)}
  </dl>`;
}

function Downloads({ job }) {
  const where = jobPath(job.id, "/result");
  const what = job.ingest ? "Download the keys that came more than once" : "Download the result";
  return html`<div class="downloads" role="group" aria-label=${what}>
    <span class="sub">${job.ingest ? what : "Download"}</span>
    ${FORMATS.map(([format, text]) => html`<a class="button" key=${format} download
      href=${format === "csv" ? where : `${where}?format=${format}`} data-format=${format}><${Icon} name="download" />${text}</a>`)}
  </div>`;
}

function Actions({ job }) {
  const [asking, setAsking] = useState(null);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const act = async (work) => {
    setBusy(true);
    setProblem(null);
    try {
      await work();
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
    setAsking(null);
  };
  const cancel = () => act(async () => putJob(await ask(jobPath(job.id, "/cancel"), { method: "POST" })));
  const remove = () => act(async () => {
    await ask(jobPath(job.id), { method: "DELETE" });
    location.hash = "#/";
    dropJob(job.id);
  });
  return html`<div class="actions">
    ${!ended(job) && html`<button type="button" class="button" ...${may("submit")} onClick=${() => setAsking("cancel")}>
      <${Icon} name="close" />Cancel</button>`}
    <button type="button" class="button" ...${may("admin")} onClick=${() => setAsking("delete")}><${Icon} name="bin" />Delete</button>
    <${ProblemBox} problem=${problem} />
    ${asking === "cancel" && html`<${Confirm} title="Cancel this job?" verb="Cancel the job" busy=${busy}
      onYes=${cancel} onClose=${() => setAsking(null)}>
      <p>What has been counted of <strong>${job.name}</strong> is given up. The job stays in the list.</p><//>`}
    ${asking === "delete" && html`<${Confirm} title="Delete this job?" verb="Delete the job" busy=${busy}
      onYes=${remove} onClose=${() => setAsking(null)}>
      <p><strong>${job.name}</strong>, its result and its receipt are removed from the master. This can not be undone.</p><//>`}
  </div>`;
}

// The tasks of a job: a map of all of them, who has which, and a table. Asked for while they change.

import { html, useEffect, useMemo, useState } from "../html.js";
import { ask, jobPath } from "../api.js";
import { ended } from "../store.js";
import { bytes, count, things } from "../format.js";
import { Quiet } from "../parts/problem.js";
import { TaskMap } from "./map.js";

// How often tasks are asked for; longer where there are many.
const POLL_MS = 1000;
const MANY = 4000;
const PAGE = 100;
const COLUMNS = ["Task", "State", "Slave", "Begins at", "Bytes", "Attempts", "Failures", "Records", "Rejected"];
/** So many slaves have a colour of their own; then the colours come again. */
export const COLOURS = 8;

/** The panel with a job's tasks. */
export function Tasks({ job }) {
  const { tasks, problem } = useTasks(job);
  const names = useMemo(() => [...new Set([...job.slaves.map((share) => share.name), ...tasks.flatMap((task) => task.slaves)])]
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true })), [tasks, job.slaves]);
  if (problem && problem.status !== 0 && !tasks.length) {
    return html`<section class="panel" aria-labelledby="tasks-title"><h2 id="tasks-title">Tasks</h2>
      <${Quiet}>${problem.detail || problem.title}<//></section>`;
  }
  return html`<section class="panel tasks" aria-labelledby="tasks-title">
    <div class="panel-head"><h2 id="tasks-title">Tasks</h2><${Counts} tasks=${tasks} /></div>
    ${tasks.length > 0 ? html`<${TaskMap} tasks=${tasks} names=${names} />` : html`<${Quiet}>No task has been cut yet<//>`}
    <${Legend} job=${job} tasks=${tasks} names=${names} />
    ${tasks.length > 0 && html`<${AsTable} tasks=${tasks} />`}
  </section>`;
}

function useTasks(job) {
  const [state, setState] = useState({ tasks: [], problem: null });
  const over = ended(job);
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    const look = async () => {
      let many = 0;
      try {
        const { tasks } = await ask(jobPath(job.id, "/tasks"), { signal: abort.signal });
        many = tasks.length;
        setState({ tasks, problem: null });
      } catch (problem) {
        if (abort.signal.aborted) return;
        setState((was) => ({ ...was, problem }));
        if (problem.status >= 400 && problem.status < 500) return;
      }
      if (!over && !abort.signal.aborted) timer = setTimeout(look, many > MANY ? 4 * POLL_MS : POLL_MS);
    };
    look();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [job.id, over]);
  return state;
}

/** A task was tried more than once: after a failure, or because another slave was faster. */
export const retried = (task) => task.failures > 0 || (task.attempts > 1 && task.slaves.length < 2);

function Counts({ tasks }) {
  const of = (state) => tasks.filter((task) => task.state === state).length;
  const twice = tasks.filter((task) => task.slaves.length > 1).length;
  const again = tasks.filter(retried).length;
  const words = [
    `${count(of("done"))} done`, `${count(of("running"))} running`, `${count(of("queued") + of("waiting"))} waiting`,
    again && `${count(again)} with more than one attempt`, twice && `${count(twice)} on two slaves`,
  ];
  return html`<span class="sub">${words.filter(Boolean).join(" · ")}</span>`;
}

function Legend({ job, tasks, names }) {
  const share = new Map(job.slaves.map((share) => [share.name, share]));
  const most = Math.max(1, ...job.slaves.map((share) => share.bytes));
  return html`<div class="legend">
    <ul class="keys" aria-label="What the cells mean">
      <li><span class="key" data-key="queued"></span>waiting</li>
      <li><span class="key" data-key="running"></span>running, filled as far as it is</li>
      <li><span class="key" data-key="done"></span>done, in its slave's colour</li>
      <li><span class="key" data-key="retried"></span>more than one attempt</li>
      <li><span class="key" data-key="failed">×</span>failed, waits</li>
      <li><span class="key" data-key="twice"></span>on two slaves</li>
    </ul>
    ${names.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="What each slave has counted">
    <table class="plain shares"><caption class="unseen">What each slave has counted</caption>
      <thead><tr><th scope="col">Slave</th><th scope="col" class="number">Tasks done</th>
        <th scope="col" class="number">Now</th><th scope="col">Share</th><th scope="col" class="number">Bytes</th><th scope="col" class="number">Records</th></tr></thead>
      <tbody>${names.map((name, i) => {
        const done = share.get(name);
        const now = tasks.filter((task) => task.state === "running" && task.slaves.includes(name)).length;
        return html`<tr key=${name}><th scope="row"><span class="key" data-key="slave" data-colour=${i % COLOURS}></span>${name}</th>
          <td class="number">${count(done?.tasks ?? 0)}</td><td class="number">${now || "–"}</td>
          <td class="share"><span class="share-bar" data-colour=${i % COLOURS} style=${{ width: `${((done?.bytes ?? 0) / most) * 100}%` }}></span></td>
          <td class="number">${bytes(done?.bytes ?? 0)}</td><td class="number">${count(done?.records ?? 0)}</td></tr>`;
      })}</tbody>
    </table></div>`}
  </div>`;
}

function AsTable({ tasks }) {
  const [open, setOpen] = useState(false);
  const [from, setFrom] = useState(0);
  const [odd, setOdd] = useState(false);
  const listed = open ? tasks.filter((task) => !odd || retried(task) || task.slaves.length > 1) : [];
  const page = listed.slice(from, from + PAGE);
  return html`<details class="as-table" onToggle=${(event) => setOpen(event.target.open)}>
    <summary>As a table</summary>
    ${open && html`
      <label class="check"><input type="checkbox" checked=${odd}
        onChange=${(event) => { setOdd(event.target.checked); setFrom(0); }} />Only those with more than one attempt, or on two slaves</label>
      <div class="scroll" tabindex="0" role="region" aria-label="Tasks as a table"><table class="plain">
        <caption class="unseen">Tasks</caption>
        <thead><tr>${COLUMNS.map((text, i) => html`<th key=${text} scope="col"
          class=${i > 2 ? "number" : ""}>${text}</th>`)}</tr></thead>
        <tbody>${page.map((task) => html`<tr key=${task.number}>
          <th scope="row">${task.number}</th><td>${task.state}</td><td>${task.slaves.join(", ") || "–"}</td>
          ${[task.byte_offset, task.bytes, task.attempts, task.failures, task.records, task.rejected].map((n, i) =>
            html`<td key=${i} class="number">${count(n)}</td>`)}</tr>`)}</tbody>
      </table></div>
      <div class="pager">
        <button type="button" class="button" disabled=${from === 0} onClick=${() => setFrom(from - PAGE)}>Before</button>
        <span class="sub">${things(listed.length, "task")}</span>
        <button type="button" class="button" disabled=${from + PAGE >= listed.length}
          onClick=${() => setFrom(from + PAGE)}>Next</button>
      </div>`}
  </details>`;
}

// The slaves that are joined, and those that were a moment ago.

import { html, memo, useRef } from "../html.js";
import { store } from "../store.js";
import { useStore } from "../parts/hooks.js";
import { Spark } from "../parts/spark.js";
import { Quiet } from "../parts/problem.js";
import { bytes, count, duration, rate, short, things } from "../format.js";

// So long a slave that is gone stays to be seen.
const GONE_MS = 30_000;
// A slave that is well is heard of each second or so.
const LATE_MS = 5000;

/** The table of slaves. */
export function Slaves() {
  const slaves = useStore(() => store.slaves);
  const gone = useGone(slaves);
  const aside = useStore(() => store.cluster?.set_aside) ?? [];
  const workers = slaves.reduce((sum, slave) => sum + slave.workers, 0);
  return html`<section class="panel slaves" id="slaves" aria-labelledby="slaves-title">
    <div class="panel-head">
      <h2 id="slaves-title">Slaves</h2>
      <span class="sub">${things(slaves.length, "slave")}, ${things(workers, "worker")}</span>
    </div>
    ${slaves.length + gone.length > 0
      ? html`<${Table} slaves=${slaves} gone=${gone} />`
      : html`<${Quiet}>No slave has joined. Start one: <code>tally slave --master URL</code><//>`}
    ${aside.length > 0 && html`<${Aside} slaves=${aside} />`}
  </section>`;
}

// Those that were there and are not, by name: one that comes back has a new session.
function useGone(slaves) {
  const ref = useRef({ seen: [], gone: new Map() });
  const { seen, gone } = ref.current;
  if (seen !== slaves) {
    const names = new Set(slaves.map((slave) => slave.name));
    for (const slave of seen) if (!names.has(slave.name)) gone.set(slave.name, { slave, at: Date.now() });
    for (const [name, { at }] of gone) {
      if (names.has(name) || Date.now() - at > GONE_MS) gone.delete(name);
    }
    ref.current.seen = slaves;
  }
  return [...gone.values()].map(({ slave }) => slave);
}

function Table({ slaves, gone }) {
  const sorted = [...slaves].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  return html`<table class="list slave-list">
    <caption class="unseen">Slaves</caption>
    <thead><tr>
      <th scope="col">Slave</th>
      <th scope="col">Last minute</th>
      <th scope="col" class="number">Tasks</th>
    </tr></thead>
    <tbody>
      ${sorted.map((slave) => html`<${Row} key=${slave.id + slave.session} slave=${slave} />`)}
      ${gone.map((slave) => html`<${Gone} key=${`gone ${slave.name}`} slave=${slave} />`)}
    </tbody>
  </table>`;
}

const Row = memo(({ slave }) => {
  const heard = slave.last_heard_ms;
  const now = rate(slave.bytes_per_second ?? 0);
  return html`<tr data-slave=${slave.name}>
    <th scope="row">
      <span class="name" title=${slave.name}>${slave.name}</span>
      ${slave.quarantined && html` <span class="tag bad">quarantined</span>`}
      ${slave.draining && html` <span class="tag">draining</span>`}
      <span class="sub">${things(slave.workers, "worker")} · <span title="When it was last heard of"
        class=${heard > LATE_MS ? "late" : ""}>${heard < 1500 ? "heard now" : `heard ${duration(heard)} ago`}</span></span>
      <span class="sub" title="Version">${slave.version}</span>
    </th>
    <td class="spark-cell"><${Spark} values=${slave.history ?? []} label=${`${now} now`} /><span class="sub">${now}</span></td>
    <td class="number">
      <span title="Being counted">${slave.running} running</span>
      <span class="sub" title="On the slave, waiting for a worker">${slave.prefetched} prefetched</span>
      <span class="sub" title=${`${count(slave.records)} records, ${bytes(slave.bytes)}`}>${short(slave.completed)} done${
        slave.failed > 0 && html`, <span class="bad">${short(slave.failed)} failed</span>`}</span>
    </td>
  </tr>`;
});

// Those that have said what is false, and are kept out until an operator lets them in.
const Aside = ({ slaves }) => html`<ul class="set-aside" aria-label="Slaves that are not let in">
  ${slaves.map((slave) => html`<li key=${slave.name + slave.since}>
    <span class="name">${slave.name}</span> <span class="tag bad">not let in</span>
    <span class="sub">since <time datetime=${slave.since}>${slave.since.slice(0, 16).replace("T", " ")}</time>: ${slave.reason}</span>
  </li>`)}
</ul>`;

const Gone = ({ slave }) => html`<tr class="gone" data-slave=${slave.name}>
  <th scope="row"><span class="name">${slave.name}</span> <span class="tag bad">gone</span>
    <span class="sub">its tasks go to others</span></th>
  <td class="spark-cell"></td>
  <td class="number"><span class="sub">${short(slave.completed)} done</span></td>
</tr>`;

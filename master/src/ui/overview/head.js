// The cluster at a glance: how fast it counts, with whom, what waits, and what room there is.

import { html } from "../html.js";
import { store } from "../store.js";
import { useStore } from "../parts/hooks.js";
import { Meter } from "../parts/bar.js";
import { Spark } from "../parts/spark.js";
import { bytes, count, duration, rate, things } from "../format.js";

/** The figures above everything. */
export function ClusterHead() {
  const cluster = useStore(() => store.cluster);
  return html`<section class="figures" aria-label="Cluster">
    <${Rate} cluster=${cluster} />
    <${Workers} cluster=${cluster} />
    <${Queue} cluster=${cluster} />
    <${Disk} disk=${cluster?.disk} />
    <${Memory} memory=${cluster?.memory} />
  </section>`;
}

function Figure({ title, value, unit, kind = "", children }) {
  return html`<div class=${`figure ${kind}`}>
    <h2 class="figure-title">${title}</h2>
    <p class="figure-value">${value}${unit && html` <span class="unit">${unit}</span>`}</p>
    ${children}
  </div>`;
}

function Rate({ cluster }) {
  const now = rate(cluster?.bytes_per_second ?? 0);
  const top = Math.max(0, ...(cluster?.history ?? []));
  const [value, unit] = now.split(" ");
  return html`<${Figure} title="Counted now" value=${value} unit=${unit} kind="rate">
    <${Spark} values=${cluster?.history ?? []} wide label=${`Last minute: ${now} now, ${rate(top)} at most`} />
    <p class="sub">last minute, at most ${rate(top)}</p>
  <//>`;
}

function Workers({ cluster }) {
  const { slaves = 0, workers = 0, tasks_running: running = 0 } = cluster?.counts ?? {};
  const up = cluster ? duration(Date.parse(cluster.now) - Date.parse(cluster.started_at)) : "–";
  return html`<${Figure} title="Workers" value=${count(workers)} unit=${`on ${things(slaves, "slave")}`}>
    <p class="sub">${things(running, "task")} in hand</p>
    <p class="sub">master up ${up}</p>
  <//>`;
}

function Queue({ cluster }) {
  const { receiving = 0, running = 0, merging = 0, tasks_queued: queued = 0 } = cluster?.counts ?? {};
  const active = receiving + running + merging;
  return html`<${Figure} title="Queue" value=${count(active)} unit=${active === 1 ? "active job" : "active jobs"}>
    <table class="tiny"><caption class="unseen">What waits, by priority</caption>
      <thead><tr><th scope="col">priority</th><th scope="col" class="number">jobs</th><th scope="col" class="number">tasks waiting</th></tr></thead>
      <tbody>${(cluster?.queue ?? []).map((row) => html`<tr key=${row.priority}>
        <th scope="row">${row.priority}</th><td>${count(row.jobs)}</td><td>${count(row.tasks)}</td>
      </tr>`)}</tbody>
    </table>
    ${!cluster && html`<p class="sub">${things(queued, "task")} waiting</p>`}
  <//>`;
}

function Disk({ disk }) {
  if (!disk) return html`<${Figure} title="Disk" value="–" />`;
  const { total, free, reserve, full } = disk;
  const used = total - free;
  const words = `${bytes(used)} used of ${bytes(total)}, ${bytes(reserve)} kept free`;
  return html`<${Figure} title="Disk" value=${bytes(free)} unit="free" kind=${full ? "full" : ""}>
    <${Meter} parts=${[["used", used / total], ["reserve", Math.min(reserve, free) / total]]} label=${words} />
    <p class="sub">${full ? html`<strong class="bad">Full: writing waits</strong>` : words}</p>
  <//>`;
}

function Memory({ memory }) {
  if (!memory) return html`<${Figure} title="Memory" value="–" />`;
  const { resident, peak, total } = memory;
  const words = `peak ${bytes(peak)}, machine ${bytes(total)}`;
  const parts = [["used", resident / total], ["peak", Math.max(0, peak - resident) / total]];
  return html`<${Figure} title="Master's memory" value=${bytes(resident)}>
    <${Meter} parts=${parts} label=${`${bytes(resident)} in use, ${words}`} />
    <p class="sub">${words}</p>
  <//>`;
}

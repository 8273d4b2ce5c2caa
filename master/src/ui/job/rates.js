// How fast a job was counted over time: what the master has kept, and what has come since.

import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { jobPath } from "../api.js";
import { ended } from "../store.js";
import { bytes, duration, short } from "../format.js";
import { useAnswer } from "../parts/hooks.js";
import { LineChart } from "../parts/chart.js";

// A rate is taken over at least this long: shorter ones say more of the sampling than of the job.
const WINDOW_MS = 1000;
// The parts of a chart that a screen can show.
const MOST = 600;

const xAxis = { sayX: (x) => duration(Math.round(x * 10) * 100), xName: "Since it was opened" };

/** The charts of bytes and records a second. */
export function Rates({ job }) {
  const samples = useSamples(job);
  const [xs, byBytes, byRecords] = useMemo(() => rates(samples), [samples]);
  return html`<section class="panel" aria-labelledby="rates-title">
    <h2 id="rates-title">Speed</h2>
    <div class="pair">
      <${LineChart} title="Bytes a second" data=${useMemo(() => [xs, byBytes], [byBytes])} format=${bytes} ...${xAxis} />
      <${LineChart} title="Records a second" data=${useMemo(() => [xs, byRecords], [byRecords])} format=${short} ...${xAxis} />
    </div>
  </section>`;
}

// What the master has kept, asked for at the beginning and at the end; between these, what events say.
function useSamples(job) {
  const { data } = useAnswer(jobPath(job.id, "/history"), ended(job) ? 1 : 0);
  const since = useRef([]);
  const [samples, setSamples] = useState([]);
  useEffect(() => {
    const { elapsed_ms: at_ms, bytes_received, bytes_counted } = job.progress;
    if (!ended(job)) since.current.push({ at_ms, bytes_received, bytes_counted, records: job.receipt.records });
    const kept = data?.samples ?? [];
    const last = kept.length ? kept[kept.length - 1].at_ms : -1;
    setSamples([...kept, ...since.current.filter((sample) => sample.at_ms > last)]);
  }, [job, data]);
  return samples;
}

function rates(samples) {
  const step = Math.max(1, Math.ceil(samples.length / MOST));
  const [xs, byBytes, byRecords] = [[], [], []];
  let from = 0;
  samples.forEach((sample, i) => {
    if (i === 0) return;
    while (from + step < i && sample.at_ms - samples[from + 1].at_ms >= WINDOW_MS) from += 1;
    const before = samples[from];
    const ms = sample.at_ms - before.at_ms;
    if (ms <= 0 || i % step) return;
    xs.push(sample.at_ms / 1000);
    byBytes.push((Math.max(0, sample.bytes_counted - before.bytes_counted) * 1000) / ms);
    byRecords.push((Math.max(0, sample.records - before.records) * 1000) / ms);
  });
  return [xs, byBytes, byRecords];
}

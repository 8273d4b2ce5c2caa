// The page of one job: where it stands, who counts what, what came out, and the proof.

import { html, useEffect, useState } from "../html.js";
import { ended, fetchJob, live, store } from "../store.js";
import { useStore } from "../parts/hooks.js";
import { ProblemBox, Quiet } from "../parts/problem.js";
import { JobHead } from "./head.js";
import { Tasks } from "./tasks.js";
import { Rates } from "./rates.js";
import { Charts } from "./charts.js";
import { IngestPanel } from "./ingest.js";
import { LookPanel } from "./look.js";
import { Receipt } from "./receipt.js";
import { Rejects } from "./rejects.js";

// Where there is no stream, the job is asked for this often.
const POLL_MS = 2000;

/** A job's page. */
export function JobPage({ id }) {
  const job = useStore(() => store.jobs.get(id));
  const gone = useStore(() => store.deleted.has(id));
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    let timer = 0;
    const look = () => {
      fetchJob(id).then(
        () => setProblem(null),
        (error) => {
          setProblem(error);
          if (error.status !== 404 && error.status !== 410) return;
          // Nothing will ever be said of it again.
          clearInterval(timer);
          live.end();
        },
      );
    };
    look();
    timer = setInterval(() => {
      const known = store.jobs.get(id);
      if (store.live !== "live" && store.live !== "paused" && !(known && ended(known))) look();
    }, POLL_MS);
    return () => clearInterval(timer);
  }, [id]);
  useEffect(() => {
    if (gone) live.end();
  }, [gone]);
  useEffect(() => {
    if (job) document.title = `${job.name} · Tally`;
  }, [job?.name]);
  if (gone) return html`<${Back} /><h1>Deleted</h1><${Quiet}>This job and all its bytes are gone.<//>`;
  if (!job) {
    return html`<${Back} /><h1 class=${problem ? "" : "unseen"}>Job ${id}</h1>
      ${problem ? html`<${ProblemBox} problem=${problem} />` : html`<${Quiet}>Loading<//>`}`;
  }
  return html`<${Back} /><${JobHead} job=${job} /><${Sections} job=${job} />`;
}

const Back = () => html`<p class="back"><a href="#/">‹ All jobs</a></p>`;

// While it runs, the work comes first; afterwards, what came out.
function Sections({ job }) {
  const work = [html`<${Tasks} key="tasks" job=${job} />`, html`<${Rates} key="rates" job=${job} />`];
  const proof = html`<div class=${job.receipt.rejected || job.rejects.length ? "stack" : "pair"} key="proof">
    <${Receipt} job=${job} /><${Rejects} job=${job} />
  </div>`;
  // What went into a table is looked at there.
  if (job.ingest) {
    const ingest = html`<${IngestPanel} key="ingest" job=${job} />`;
    return ended(job) ? [ingest, proof, ...work] : [ingest, ...work, proof];
  }
  const look = html`<${LookPanel} key="look" job=${job} />`;
  const charts = job.state === "succeeded" && html`<${Charts} key="charts" job=${job} />`;
  return ended(job) ? [charts, look, proof, ...work] : [...work, look, proof];
}

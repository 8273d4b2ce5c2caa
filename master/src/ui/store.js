// All that the page knows, changed by events and shown once for each frame. Objects are replaced, never
// changed: whoever draws one compares identities.

import { Live } from "./live.js";
import { ask, jobPath } from "./api.js";
import { announce } from "./parts/announce.js";
import { takeChange, takeLost } from "./tables/stream.js";

// Samples of a job's progress from which its rate now is taken, over so many milliseconds.
const RATE_WINDOW_MS = 5000;
const ENDED = new Set(["succeeded", "failed", "cancelled"]);

/** Whether nothing more will happen to a job. */
export const ended = (job) => ENDED.has(job.state);

export const store = {
  live: "connecting",
  cluster: null,
  slaves: [],
  jobs: new Map(),
  /** Ids of jobs that are gone. */
  deleted: new Set(),
  /** How often a whole snapshot has come. */
  snapshots: 0,
  /** Another number whenever a job, or what is listed of them, has changed. */
  turn: 0,
};

const listeners = new Set();
const pace = new Map();
let frame = 0;

/** Calls `listener` at most once a frame after something has changed, until the returned function is called. */
export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Tells that something has changed. */
export function changed() {
  // A hidden page gets no frames, and needs none.
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    for (const listener of [...listeners]) listener();
  });
}

/** Tells that jobs have changed. */
export function jobsChanged() {
  store.turn += 1;
  changed();
}

/** Bytes a second that a job is counted at now. */
export function rateNow(job) {
  const samples = pace.get(job.id);
  if (ended(job) || !samples || samples.length < 2) return job.progress.bytes_per_second;
  const [first, last] = [samples[0], samples[samples.length - 1]];
  const ms = last.at - first.at;
  return ms > 0 ? Math.max(0, ((last.bytes - first.bytes) * 1000) / ms) : job.progress.bytes_per_second;
}

/** Takes a job as it is now. */
export function putJob(job) {
  store.jobs.set(job.id, job);
  store.deleted.delete(job.id);
  if (ended(job)) pace.delete(job.id);
  else sample(job);
  jobsChanged();
}

function sample(job) {
  const samples = pace.get(job.id) ?? [];
  const { elapsed_ms: at, bytes_counted: bytes } = job.progress;
  const last = samples[samples.length - 1];
  if (last && at <= last.at) return;
  samples.push({ at, bytes });
  while (samples.length > 2 && at - samples[0].at > RATE_WINDOW_MS) samples.shift();
  pace.set(job.id, samples);
}

/** Takes note that a job is gone. */
export function dropJob(id) {
  store.jobs.delete(id);
  store.deleted.add(id);
  pace.delete(id);
  jobsChanged();
}

/** Asks for a job. */
export async function fetchJob(id) {
  const job = await ask(jobPath(id));
  putJob(job);
  return job;
}

// What an event says, and is said aloud: a list that is loaded is no news.
function news(job) {
  const before = store.jobs.get(job.id);
  putJob(job);
  if (before?.state !== job.state && ended(job)) announce(`${job.name}: ${job.state}`);
}

function snapshot({ cluster, slaves, jobs }) {
  store.cluster = cluster;
  store.slaves = slaves;
  store.jobs = new Map();
  store.snapshots += 1;
  jobs.forEach(putJob);
}

function setSlaves(slaves) {
  const names = new Set(slaves.map((slave) => slave.name));
  const gone = store.slaves.filter((slave) => !names.has(slave.name));
  if (gone.length) announce(gone.map((slave) => `Slave ${slave.name} is gone`).join(". "));
  store.slaves = slaves;
}

const take = {
  snapshot,
  job: news,
  end: news,
  deleted: ({ id }) => dropJob(id),
  slaves: ({ slaves }) => setSlaves(slaves),
  cluster: (cluster) => { store.cluster = cluster; },
  change: takeChange,
  lost: takeLost,
  // Whoever asks for the table now is told so.
  dropped: takeLost,
};

export const live = new Live(
  Object.keys(take),
  (kind, data) => {
    take[kind](data);
    changed();
  },
  (state) => {
    if (state === store.live) return;
    if (state === "reconnecting") announce("The connection to the master is lost; reconnecting");
    if (state === "live" && store.live === "reconnecting") announce("Connected again");
    store.live = state;
    changed();
  },
);

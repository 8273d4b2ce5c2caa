// Which jobs are listed: pages of the master's list as far as they have been asked for, kept up to date by
// events. Jobs that are known but lie behind the last page wait there, so that nothing is left out between.

import { ask, query } from "../api.js";
import { jobsChanged, putJob, store } from "../store.js";

const PAGE = 100;
// The most that the master gives at once.
const MOST = 1000;

const by = {
  opened: (a, b) => compare(a.opened_at, b.opened_at),
  ended: (a, b) => compare(a.ended_at ?? "~", b.ended_at ?? "~") || by.opened(a, b),
  name: (a, b) => compare(a.name, b.name) || by.opened(a, b),
  size: (a, b) => a.progress.bytes_received - b.progress.bytes_received || by.opened(a, b),
};

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Every job, newest first. */
const ALL = { name: "", states: [], priority: "", sort: "opened", order: "desc" };

export class JobList {
  constructor() {
    Object.assign(this, { query: ALL, cursor: null, last: null, problem: null, busy: false, turn: 0 });
  }

  /** Lists other jobs, or the same ones in another order: what `wanted` does not name stays as it was chosen. */
  choose(wanted) {
    this.query = { ...this.query, ...wanted };
    return this.load(PAGE);
  }

  /** Asks for the next page, once it is known which one that is. */
  more() {
    return this.busy ? undefined : this.load(PAGE, this.cursor);
  }

  /** Asks again for as many as there are, after the stream had a gap. */
  refresh() {
    return this.load(Math.min(Math.max(PAGE, this.rows().length), MOST));
  }

  async load(limit, cursor = null) {
    const turn = ++this.turn;
    const { name, states, priority, sort, order } = this.query;
    this.busy = true;
    jobsChanged();
    try {
      const asked = { name, state: states.join(","), priority, sort, order, limit, cursor };
      const { jobs, next } = await ask(`/api/v1/jobs${query(asked)}`);
      if (turn !== this.turn) return;
      // What an event has said meanwhile is newer than what the list says.
      for (const job of jobs) if (cursor || !store.jobs.has(job.id)) putJob(job);
      Object.assign(this, { cursor: next ?? null, last: jobs[jobs.length - 1] ?? this.last, problem: null });
    } catch (problem) {
      if (turn === this.turn) this.problem = problem;
    }
    if (turn === this.turn) this.busy = false;
    jobsChanged();
  }

  /** The jobs that are shown, in order. */
  rows() {
    const { sort, order } = this.query;
    const way = order === "asc" ? 1 : -1;
    const compare = (a, b) => way * by[sort](a, b) || (a.id < b.id ? 1 : -1);
    const known = [...store.jobs.values()].filter((job) => this.wants(job)).sort(compare);
    if (!this.cursor || !this.last) return known;
    return known.filter((job) => job.id === this.last.id || compare(job, this.last) <= 0);
  }

  /** Whether no job is left out. */
  everything() {
    const { name, states, priority } = this.query;
    return !name && !states.length && !priority;
  }

  wants(job) {
    const { name, states, priority } = this.query;
    return (
      (!states.length || states.includes(job.state)) &&
      (!priority || job.priority === priority) &&
      (!name || job.name.toLowerCase().includes(name.toLowerCase()))
    );
  }
}

// The first page: the cluster, its jobs, its slaves.

import { html } from "../html.js";
import { ClusterHead } from "./head.js";
import { Jobs } from "./jobs.js";
import { Slaves } from "./slaves.js";

/** The overview. */
export const Overview = () => html`<h1 class="unseen">Overview</h1>
  <${ClusterHead} />
  <div class="columns">
    <${Jobs} />
    <${Slaves} />
  </div>`;

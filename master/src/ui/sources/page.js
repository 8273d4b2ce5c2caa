// The sources that the master watches: where they look, when they looked last, and what came of it.

import { html, useState } from "../html.js";
import { ask } from "../api.js";
import { ago, count, duration, moment, things } from "../format.js";
import { useNow, usePolled } from "../parts/hooks.js";
import { Icon } from "../parts/icon.js";
import { ProblemBox, Quiet } from "../parts/problem.js";
import { jobHref, tableHref } from "../route.js";
import { may } from "../session.js";

const POLL_MS = 2000;

/** The page. */
export function SourcesPage() {
  const { data, problem, soon } = usePolled("/api/v1/sources", POLL_MS);
  const sources = data?.sources ?? [];
  // A master that is older than its page has no sources.
  const none = (data && !sources.length) || problem?.status === 404;
  return html`<h1 class="unseen">Sources</h1>
    <section class="panel" aria-labelledby="sources-title">
      <div class="panel-head"><h2 id="sources-title">Watched sources</h2></div>
      ${none && html`<${Quiet}>No source is watched. The master watches those that its configuration names
        (<code>[[source]]</code>, or <code>tally master --source</code>).<//>`}
      ${!none && html`<${ProblemBox} problem=${problem} again=${soon} />`}
      ${!data && !problem && html`<${Quiet}>Loading<//>`}
      <div class="sources">${sources.map((source) => html`<${Source} key=${source.name} source=${source} onPoll=${soon} />`)}</div>
    </section>`;
}

function Source({ source, onPoll }) {
  const now = useNow(1000);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const { name, kind, target, into, table, state, last_job: job, last_error: error } = source;
  const look = async () => {
    setBusy(true);
    setProblem(null);
    await ask(`/api/v1/sources/${encodeURIComponent(name)}/poll`, { method: "POST" }).catch(setProblem);
    setBusy(false);
    onPoll();
  };
  const facts = [
    ["Looked last", source.last_polled_at && ago(source.last_polled_at, now), source.last_polled_at],
    ["Changed last", source.last_changed_at && ago(source.last_changed_at, now), source.last_changed_at],
    ["Looks next", soonText(source.next_poll_at, now), source.next_poll_at],
    ["Looks", count(source.polls), null, source.interval_seconds && `every ${duration(source.interval_seconds * 1000)} or so`],
    ["Changes", count(source.changes), null, source.items > 1 && things(source.items, "file")],
    ["Errors", count(source.errors ?? 0)],
  ];
  return html`<article class="source" data-source=${name} aria-label=${name}>
    <div class="job-line"><h3>${name}</h3><span class="tag">${kind}</span>
      <span class="tag source-state" data-state=${state.split(" ")[0]} role="status">${state}</span>
      <div class="actions"><button type="button" class="button" disabled=${busy} ...${may("submit")} aria-label=${`Look at ${name} now`} onClick=${look}>
        <${Icon} name="repeat" />Look now</button></div></div>
    <p class="sub long">${target}</p>
    <p>into ${table ? html`the <a href=${tableHref(table)}>${into}</a>` : into}${job && html`; last job <a href=${jobHref(job)}><code>${job}</code></a>`}</p>
    <dl class="facts">${facts.map(([term, value, at, more]) => html`<div key=${term}><dt>${term}</dt>
      <dd title=${at ? moment(at) : null}>${value || "–"}${more && html`<span class="sub">${more}</span>`}</dd></div>`)}</dl>
    ${error && html`<p class="notice"><${Icon} name="warning" />${error}</p>`}
    <${ProblemBox} problem=${problem} />
  </article>`;
}

function soonText(time, now) {
  if (!time) return null;
  const ms = Date.parse(time) - now;
  return ms < 1000 ? "now" : `in ${duration(Math.floor(ms / 1000) * 1000)}`;
}

// What happens to the table, as it happens: the last changes, newest first. It can be held still.

import { html, memo, useEffect, useRef, useState } from "../html.js";
import { count, moment } from "../format.js";
import { Icon } from "../parts/icon.js";
import { Quiet } from "../parts/problem.js";
import { ChangeTag } from "./change.js";
import { onChanges } from "./stream.js";
import { keyId, keyText, show } from "./values.js";

// Changes that are shown; those before them are in the history of their rows.
const MOST = 100;

/** The panel with the feed. `onOpen` is called with the key of a row. */
export const Feed = memo(({ table, onOpen }) => {
  const { shown, paused, missed, toggle } = useFeed();
  return html`<section class="panel" aria-labelledby="feed-title">
    <div class="panel-head"><h2 id="feed-title">Changes</h2>
      <button type="button" class="button" aria-pressed=${paused} onClick=${toggle}>
        <${Icon} name=${paused ? "running" : "pause"} />${paused ? `Go on${missed ? ` (${count(missed)} new)` : ""}` : "Hold still"}</button></div>
    ${shown.length === 0 ? html`<${Quiet}>Nothing has changed lately.<//>`
      : html`<div class="scroll feed" tabindex="0" role="region" aria-label="Changes of the table"><ol>
        ${shown.map((item) => (item.gap
          ? html`<li key=${`gap ${item.gap}`} class="sub">Some changes are not shown: there were too many, or they are not kept any more.</li>`
          : html`<${Line} key=${item.version} table=${table} item=${item} onOpen=${onOpen} />`))}
      </ol></div>`}
  </section>`;
});

const Line = memo(({ table, item, onOpen }) => {
  const rest = table.columns.filter((column) => !table.key.includes(column.name));
  const text = item.row ? rest.map((column) => show(column, item.row[column.name])).filter(Boolean).join(" · ") : "";
  return html`<li data-change=${keyId(item.key)} title=${`version ${item.version}, ${moment(item.changed_at)}`}>
    <${ChangeTag} change=${item.change} />
    <button type="button" class="row-open" aria-label=${`Open ${keyText(item.key)}`} onClick=${() => onOpen(item.key)}>${keyText(item.key)}</button>
    <span class="sub">${text}</span><time class="sub" datetime=${item.changed_at}>${moment(item.changed_at).split(", ").pop()}</time>
  </li>`;
});

function useFeed() {
  const [, draw] = useState(0);
  const ref = useRef({ items: [], held: null, missed: 0, gaps: 0, last: 0 });
  const it = ref.current;
  useEffect(() => onChanges(({ changes, lost }) => {
    if (lost) it.items = [{ gap: ++it.gaps }, ...it.items];
    // A stream that is opened again may begin with what is known.
    const news = changes.filter((change) => change.version > it.last);
    if (news.length) it.last = news[news.length - 1].version;
    it.items = [...news.slice(-MOST).reverse(), ...it.items].slice(0, MOST);
    it.missed += news.length;
    draw((n) => n + 1);
  }), []);
  const toggle = () => {
    it.held = it.held ? null : it.items;
    it.missed = 0;
    draw((n) => n + 1);
  };
  return { shown: it.held ?? it.items, paused: it.held !== null, missed: it.held ? it.missed : 0, toggle };
}

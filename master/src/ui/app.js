// The frame around every page: where one is, whether what one sees is live, and what is being uploaded.

import { html, useEffect, useState } from "./html.js";
import { live, store } from "./store.js";
import { useRoute } from "./route.js";
import { choose, chosen } from "./theme.js";
import { useStore } from "./parts/hooks.js";
import { Icon } from "./parts/icon.js";
import { Overview } from "./overview/page.js";
import { JobPage } from "./job/page.js";
import { TablesPage } from "./tables/list.js";
import { TablePage } from "./tables/page.js";
import { ImportDialog } from "./tables/import.js";
import { SourcesPage } from "./sources/page.js";
import { Uploads } from "./upload/tray.js";
import { UploadDialog } from "./upload/dialog.js";
import { useDrop } from "./upload/drop.js";
import { jobPath } from "./api.js";
import { allowed, onSession, session } from "./session.js";
import { Login, Myself } from "./login.js";

const TITLES = {
  overview: "Tally",
  job: "Job · Tally",
  tables: "Tables · Tally",
  sources: "Sources · Tally",
};

/** The whole page, or that of those who have not said who they are. */
export function App() {
  const [, draw] = useState(0);
  useEffect(() => onSession(() => draw((n) => n + 1)), []);
  if (!session.known) return null;
  return allowed("read") ? html`<${Frame} key=${session.csrf} />` : html`<${Login} />`;
}

function Frame() {
  const at = useRoute();
  const [file, setFile] = useState(null);
  const [instead, setInstead] = useState(false);
  const dragging = useDrop(setFile);
  const close = () => {
    setFile(null);
    setInstead(false);
  };
  useEffect(() => {
    if (at.page === "job") live.listen(jobPath(at.id, "/events"));
    // A table's page listens by itself, once it knows from where on.
    else if (at.page !== "table") live.listen("/api/v1/events", { silence: true });
    document.title = at.page === "table" ? `${at.id} · Tally` : TITLES[at.page];
  }, [at.page, at.id]);
  // Whoever logs out listens no more.
  useEffect(() => () => live.listen(null), []);
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <${Header} at=${at} onFile=${setFile} />
    <${Uploads} />
    <main id="main" tabindex="-1">
      <${Page} at=${at} />
    </main>
    <footer class="foot">
      <span>Tally ${useStore(() => store.cluster?.version)}</span>
      <nav aria-label="Reference">
        <a href="/docs">API</a> <a href="/docs/http.md">HTTP reference</a> <a href="/metrics">Metrics</a>
      </nav>
    </footer>
    ${dragging && allowed("submit") && html`<div class="drop-veil" aria-hidden="true"><p><${Icon} name="upload" />Drop the file to ${aim(at).verb} it</p></div>`}
    ${file && allowed("submit") && html`<${instead ? ImportDialog : aim(at).Dialog} file=${file} at=${at} onClose=${close} onInstead=${() => setInstead(true)} />`}`;
}

// Where tables are shown, a file is for a table; elsewhere it is counted.
function aim(at) {
  const tables = at.page === "table" || at.page === "tables";
  return tables ? { verb: "import", text: "Import a file", Dialog: ImportDialog } : { verb: "count", text: "Count a file", Dialog: UploadDialog };
}

function Page({ at }) {
  if (at.page === "job") return html`<${JobPage} key=${at.id} id=${at.id} />`;
  if (at.page === "table") return html`<${TablePage} key=${at.id} name=${at.id} />`;
  if (at.page === "tables") return html`<${TablesPage} />`;
  if (at.page === "sources") return html`<${SourcesPage} />`;
  return html`<${Overview} />`;
}

// The address behind `#` names a page, so that the skip link can not just lead to `#main`.
function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

const PLACES = [
  ["overview", "#/", "Overview"],
  ["tables", "#/tables", "Tables"],
  ["sources", "#/sources", "Sources"],
];

function Header({ at, onFile }) {
  const pick = (event) => {
    const [file] = event.target.files;
    if (file) onFile(file);
    event.target.value = "";
  };
  return html`<header class="head">
    <a class="brand" href="#/" aria-current=${at.page === "overview" ? "page" : null}><svg class="logo"
      viewBox="0 0 20 20" aria-hidden="true"><path d="M4 3v14M8 3v14M12 3v14M16 3v14M1 13.500 19 6.500" /></svg>Tally</a>
    <nav aria-label="Main">${PLACES.map(([page, href, text]) => html`<a key=${page} href=${href}
      aria-current=${at.page === page ? "page" : at.page === "table" && page === "tables" ? "true" : null}>${text}</a>`)}</nav>
    <span class="hint sub">drop a CSV anywhere, or</span>
    <label class="button primary file-button" data-off=${!allowed("submit")}
      title=${allowed("submit") ? null : "This needs a key with the scope submit"}><${Icon} name="upload" /><span>${aim(at).text}</span>
      <input class="unseen" type="file" id="file" disabled=${!allowed("submit")} onChange=${pick} /></label>
    <${LiveState} />
    <${Myself} />
    <${Theme} />
  </header>`;
}

const WORDS = {
  connecting: "connecting",
  live: "live",
  reconnecting: "reconnecting",
  paused: "paused",
  ended: "complete",
};

function LiveState() {
  const state = useStore(() => store.live);
  return html`<span class="live" data-live=${state} title="Whether what you see is what is there now">
    <span class="dot" aria-hidden="true"></span>${WORDS[state]}
    ${state === "reconnecting" && html`<button type="button" class="link" onClick=${() => live.now()}>now</button>`}
  </span>`;
}

function Theme() {
  const [theme, setTheme] = useState(chosen);
  const icon = { auto: "auto", light: "sun", dark: "moon" }[theme];
  return html`<button type="button" class="button quiet-button" onClick=${() => setTheme(choose())}
    aria-label=${`Colours: ${theme}`} title=${`Colours: ${theme}`}><${Icon} name=${icon} /></button>`;
}

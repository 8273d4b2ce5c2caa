// The page of one table: its rows, what they come to, and what happens to them, while it happens.

import { html, useCallback, useEffect, useState } from "../html.js";
import { tablePath } from "../api.js";
import { live } from "../store.js";
import { announce } from "../parts/announce.js";
import { usePolled, useThrottled } from "../parts/hooks.js";
import { ProblemBox, Quiet } from "../parts/problem.js";
import { Aggregates } from "./aggregate.js";
import { Feed } from "./feed.js";
import { TableHead } from "./head.js";
import { Imports, importsInto } from "./imports.js";
import { fetchRow } from "./operations.js";
import { RowDialog } from "./row.js";
import { RowsPanel } from "./rows.js";
import { onChanges, reset } from "./stream.js";
import { keyText } from "./values.js";

// The table itself is asked for this often, and at most so often after changes.
const POLL_MS = 2000;
const SOON_MS = 500;
// So many of the last changes are shown to who has just come.
const LATELY = 20;

/** A table's page. */
export function TablePage({ name }) {
  const { table, problem, gone } = useTable(name);
  const [open, setOpen] = useState(null);
  const [done, setDone] = useState({ turn: 0 });
  const edit = useCallback((row) => setOpen({ row }), []);
  const editKey = useCallback(async (key) => {
    const row = await fetchRow(name, key).catch(() => null);
    if (row) setOpen({ row });
    else announce(`${keyText(key)} is not there any more`);
  }, [name]);
  const close = useCallback(() => setOpen(null), []);
  const finish = (what, key) => {
    setOpen(null);
    setDone({ turn: done.turn + 1, what, key });
    announce(`${what}: ${keyText(key)}`);
  };
  if (gone) return html`<${Back} /><h1>Dropped</h1><${Quiet}>This table and all its rows are gone.<//>`;
  if (!table) return html`<${Back} /><h1>${name}</h1><${Imports} table=${name} /><${Missing} name=${name} problem=${problem} />`;
  return html`<${Back} />
    <${TableHead} table=${table} onAdd=${() => setOpen({ row: null })} />
    <${ProblemBox} problem=${problem} />
    <${Imports} table=${name} />
    <${RowsPanel} table=${useSame(table)} done=${done} onOpen=${edit} />
    <div class="pair">
      <${Aggregates} table=${table} />
      <${Feed} table=${useSame(table)} onOpen=${editKey} />
    </div>
    ${open && html`<${RowDialog} key=${open.row ? JSON.stringify(open.row.key) : "add"} table=${table} row=${open.row}
      onClose=${close} onDone=${finish} />`}`;
}

const Back = () => html`<p class="back"><a href="#/tables">‹ All tables</a></p>`;

function Missing({ name, problem }) {
  if (!problem) return html`<${Quiet}>Loading<//>`;
  const coming = problem.status === 404 && importsInto(name).length > 0;
  return coming ? html`<${Quiet}>The table is declared as soon as the beginning of the file is there.<//>` : html`<${ProblemBox} problem=${problem} />`;
}

// The last table that differs in more than its figures: who draws its columns need not draw them again.
function useSame(table) {
  const [kept] = useState({ table });
  const words = (one) => JSON.stringify([one.name, one.key, one.columns, one.created_at]);
  if (words(kept.table) !== words(table)) kept.table = table;
  return kept.table;
}

function useTable(name) {
  const { data: table, problem, soon } = usePolled(tablePath(name), POLL_MS);
  const again = useThrottled(soon, SOON_MS);
  const known = table !== null;
  const gone = known && problem?.status === 404;
  useEffect(() => {
    if (!known) return undefined;
    reset();
    live.listen(tablePath(name, "/changes"), { resume: "after", last: Math.max(0, table.version - LATELY) });
    return onChanges(again);
  }, [name, known]);
  useEffect(() => {
    // There will be no more changes, however often one asks.
    if (gone) live.end();
  }, [gone]);
  return { table, problem, gone };
}

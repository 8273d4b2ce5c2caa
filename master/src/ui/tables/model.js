// The rows that are on screen: a page of the table, and what has become of them since it was read. A row that
// changes is changed where it stands; what would move rows about only counts, until the page is read again.

import { ask, query, tablePath } from "../api.js";
import { differing, keyId } from "./values.js";

const PAGE = 50;
// Changes that come while a page is read; behind more the page is read once more.
const MOST_LATE = 5000;
// The page reads itself again no more often than this.
const PAUSE_MS = 1000;

/** Every row in the order of the key. */
export const ALL = { search: "", conditions: [], sort: "", order: "asc" };

export class Rows {
  /**
   * @param draw  called when something has changed
   * @param held  tells whether somebody points at the rows, so that they must stay where they are
   */
  constructor(name, draw, held) {
    Object.assign(this, { name, draw, held, wanted: ALL, cursors: [null], rows: [], at: new Map(), next: null });
    Object.assign(this, { version: 0, total: 0, stale: 0, late: [], problem: null, busy: false, loaded: false, turn: 0 });
  }

  /** Lists other rows, or the same ones in another order. */
  choose(wanted) {
    this.wanted = { ...this.wanted, ...wanted };
    this.cursors = [null];
    return this.read();
  }

  /** The page after this one. */
  forward() {
    this.cursors = [...this.cursors, this.next];
    return this.read();
  }

  /** The page before this one; the first one where `all`. */
  back(all = false) {
    this.cursors = all ? [null] : this.cursors.slice(0, -1);
    return this.read();
  }

  /** Number of the first row on the page, from 1 on. */
  get from() {
    return (this.cursors.length - 1) * PAGE + 1;
  }

  /** Whether all rows that are wanted are on screen. */
  get whole() {
    return this.cursors.length === 1 && !this.next;
  }

  /** Whether only some of the table's rows are wanted. */
  get narrowed() {
    return this.wanted.search !== "" || this.wanted.conditions.length > 0;
  }

  /** Reads the page again. */
  async read() {
    const turn = ++this.turn;
    const { search, conditions, sort, order } = this.wanted;
    const asked = { search, sort, order: order === "desc" ? order : null, limit: PAGE, cursor: this.cursors[this.cursors.length - 1] };
    for (const { column, how, value } of conditions) asked[how === "is" ? column : `${column}.${how}`] = value;
    clearTimeout(this.timer);
    this.timer = 0;
    this.busy = true;
    this.draw();
    try {
      const page = await ask(tablePath(this.name, `/rows${query(asked)}`));
      if (turn === this.turn) this.take(page);
    } catch (problem) {
      if (turn === this.turn) this.problem = problem;
    }
    if (turn !== this.turn) return;
    this.readAt = Date.now();
    this.busy = false;
    const late = this.late;
    this.late = [];
    if (late.length > MOST_LATE || this.again) this.soon();
    else this.apply({ changes: late, lost: false });
    this.again = false;
    this.draw();
  }

  take(page) {
    const before = new Map(this.rows.map((row) => [row.id, row]));
    const same = this.loaded && this.shown === JSON.stringify([this.wanted, this.cursors]);
    this.shown = JSON.stringify([this.wanted, this.cursors]);
    this.rows = page.rows.map((row) => {
      const id = keyId(row.key);
      const was = before.get(id);
      if (was && was.version === row.version && !was.gone) return was;
      return { ...row, id, gone: false, flash: same ? changed(was?.row, row.row) : null };
    });
    this.at = new Map(this.rows.map((row, i) => [row.id, i]));
    Object.assign(this, { next: page.next ?? null, total: page.table_rows, version: page.version, stale: 0, problem: null, loaded: true });
  }

  /** Takes what the stream says. */
  apply({ changes, lost }) {
    if (lost) return this.soon();
    if (this.busy) {
      if (this.late.length <= MOST_LATE) this.late.push(...changes);
      return;
    }
    if (!this.loaded) return;
    const news = changes.filter((change) => change.version > this.version);
    if (!news.length) return;
    this.rows = [...this.rows];
    for (const change of news) this.change(change);
    this.version = news[news.length - 1].version;
    if (this.stale && this.whole && !this.held()) this.soon();
    this.draw();
  }

  change({ version, change, key, row, changed_at: changedAt }) {
    const at = this.at.get(keyId(key));
    if (at === undefined) {
      // It may belong on this page. That of an update which moves no row is that of a row elsewhere.
      if (change === "added" || (change === "updated" && (this.narrowed || this.wanted.sort))) this.stale += 1;
      return;
    }
    const was = this.rows[at];
    if (change === "deleted") {
      this.rows[at] = { ...was, gone: true, flash: null, version };
      this.stale += 1;
      return;
    }
    const flash = changed(was.row, row);
    this.rows[at] = { ...was, row, version, changed_at: changedAt, gone: false, flash };
    const { sort } = this.wanted;
    if (was.gone || this.narrowed || sort === "_version" || flash.has(sort)) this.stale += 1;
  }

  /** Reads the page again in a moment. */
  soon() {
    if (this.timer) return;
    // What is being read may be older than what is asked for; but it is waited for, so that there is something.
    if (this.busy) {
      this.again = true;
      return;
    }
    const since = Date.now() - (this.readAt ?? 0);
    this.timer = setTimeout(() => void this.read(), Math.max(PAUSE_MS / 4, PAUSE_MS - since));
  }

  /** Nobody looks any more. */
  close() {
    clearTimeout(this.timer);
    this.turn += 1;
  }
}

// The columns that have another value.
function changed(before, row) {
  const columns = Object.keys(row).map((name) => ({ name }));
  return new Set(differing({ columns }, before ?? {}, row));
}

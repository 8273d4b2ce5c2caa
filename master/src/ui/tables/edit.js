// What the dialog of a row does: sends what was typed against the version that was opened, and where somebody
// else was faster, holds both versions until it is decided which one stays.

import { Sender, fetchRow } from "./operations.js";
import { changesOf, columnOf, keyOf, rowOf, typedOf, wrong } from "./values.js";

export class Edit {
  /**
   * @param row   the row that was opened; null for a new one
   * @param done  called with what was done and the key, once it is
   */
  constructor(table, row, draw, done) {
    Object.assign(this, { table, base: row, draw, done, sender: new Sender(table.name), typed: typedOf(table, row?.row) });
    Object.assign(this, { problems: {}, problem: null, busy: false, conflict: null, news: null });
  }

  /** The key of the row, as it was opened or as it was typed. */
  get key() {
    return this.base ? this.base.key : keyOf(this.table, rowOf(this.table, this.typed));
  }

  /** The row as it would be. */
  get mine() {
    return { ...this.base?.row, ...rowOf(this.table, this.typed) };
  }

  /** What would be changed of the row that was opened. */
  get changes() {
    return this.base ? changesOf(this.table, this.base.row, this.typed) : rowOf(this.table, this.typed);
  }

  /** Takes what is typed now. */
  type(typed) {
    Object.assign(this, { typed, problems: {}, problem: null });
    this.draw();
  }

  /** Takes note that the row was changed while it is open here. */
  hear(change) {
    if (this.base && change.version > this.base.version) this.news = change;
    this.draw();
  }

  /** Adds the row, or changes the one that was opened. */
  save() {
    if (!this.check()) return undefined;
    if (!this.base) return this.send("add", { op: "add", key: this.key, row: rowOf(this.table, this.typed) });
    return this.send("update", { op: "update", key: this.key, row: this.changes, expected_version: this.base.version });
  }

  /** Removes the row that was opened. */
  remove() {
    return this.send("delete", { op: "delete", key: this.key, expected_version: this.base.version });
  }

  /** Writes this version over the other one, unless that has changed once more. */
  overwrite() {
    const { theirs, intent } = this.conflict;
    if (intent === "delete") return this.send(intent, { op: "delete", key: this.key, expected_version: theirs.version });
    if (!theirs) return this.send(intent, { op: "add", key: this.key, row: rowOf(this.table, this.typed) });
    const row = changesOf(this.table, theirs.row, this.typed);
    if (!Object.keys(row).length) return this.done("Unchanged", this.key);
    return this.send(intent, { op: "update", key: this.key, row, expected_version: theirs.version });
  }

  // Whether what was typed can be sent at all.
  check() {
    const { table, typed } = this;
    const found = table.columns.map((column) => [column.name, wrong(column, typed[column.name], table.key.includes(column.name))]);
    this.problems = Object.fromEntries(found.filter(([, problem]) => problem));
    this.draw();
    return !Object.keys(this.problems).length;
  }

  async send(intent, operation) {
    Object.assign(this, { busy: true, problem: null, problems: {} });
    this.draw();
    try {
      await this.settle(intent, await this.sender.send(operation));
    } catch (problem) {
      this.problem = problem;
    }
    this.busy = false;
    this.draw();
  }

  async settle(intent, { outcome, problem }) {
    if (DONE[outcome]) return this.done(DONE[outcome], this.key);
    if (outcome === "missing" && intent === "delete") return this.done("Deleted", this.key);
    if (outcome === "conflict" || outcome === "missing" || outcome === "exists") {
      const theirs = await fetchRow(this.table.name, this.key);
      if (!theirs && intent === "delete") return this.done("Deleted", this.key);
      this.conflict = { theirs, intent };
      this.news = null;
      return undefined;
    }
    const column = problem ? columnOf(this.table, problem) : null;
    if (column) this.problems = { [column]: problem };
    else this.problem = { title: REFUSED[outcome] ?? "The master refuses this", detail: problem ?? "" };
    this.conflict = null;
    return undefined;
  }
}

const DONE = { added: "Added", updated: "Changed", deleted: "Deleted", unchanged: "Unchanged" };
const REFUSED = { overflow: "A sum of an aggregate would become too large", invalid: "This can not be a row of the table" };

// Values of rows: how they are shown, typed and compared, and what is sent of them. Pure.

import { count } from "../format.js";

/** What a key is to a map: the same text for the same key. */
export const keyId = (key) => JSON.stringify(Array.isArray(key) ? key.map(String) : [String(key)]);

/** A key as people read it. */
export const keyText = (key) => (Array.isArray(key) ? key.join(" · ") : String(key));

/** The key of a row. */
export function keyOf(table, row) {
  return table.key.length > 1 ? table.key.map((name) => row[name]) : row[table.key[0]];
}

/** A value of a column as a table shows it. */
export function show(column, value) {
  if (value === null || value === undefined) return "";
  return column.kind === "integer" ? count(value) : String(value);
}

/** Whether two values are the same: an integer may be a number or its digits. */
export function same(a, b) {
  if ((a ?? null) === null || (b ?? null) === null) return (a ?? null) === (b ?? null);
  return String(a) === String(b);
}

/** The names of a table's columns in which two rows differ. */
export function differing(table, a, b) {
  return table.columns.map((column) => column.name).filter((name) => !same(a?.[name], b?.[name]));
}

/** What is typed into a field for a new row, or for one that there is: text for each column, null for nothing. */
export function typedOf(table, row = null) {
  return Object.fromEntries(table.columns.map((column) => {
    const value = row ? row[column.name] ?? null : column.nullable ? null : "";
    return [column.name, value === null ? null : String(value)];
  }));
}

/** What is wrong with what was typed for a column; null where nothing is. */
export function wrong(column, text, isKey = false) {
  if (text === null) return column.nullable ? null : "must have a value";
  const trimmed = text.trim();
  if (column.kind === "text") return isKey && text === "" ? "is part of the key and can not be empty" : null;
  if (trimmed === "") return column.nullable ? null : "must have a value";
  if (column.kind === "date") return /^\d{4}-\d{2}-\d{2}$/.test(trimmed) ? null : "must be a date, such as 2026-01-31";
  return fits(trimmed) ? null : "must be a whole number of at most 64 bits";
}

function fits(text) {
  if (!/^[+-]?\d{1,40}$/.test(text)) return false;
  return BigInt.asIntN(64, BigInt(text.replace(/^\+/, ""))) === BigInt(text.replace(/^\+/, ""));
}

/** What was typed as it is sent: integers as digits, so that none is rounded on the way. */
export function valueOf(column, text) {
  if (text === null) return null;
  if (column.kind === "text") return text;
  const trimmed = text.trim().replace(/^\+/, "");
  return trimmed === "" ? null : trimmed;
}

/** The values that were typed, by column. */
export function rowOf(table, typed) {
  return Object.fromEntries(table.columns.map((column) => [column.name, valueOf(column, typed[column.name])]));
}

/** The values that differ from those of a row, without the key's: what an update sends. */
export function changesOf(table, row, typed) {
  const columns = table.columns.filter((column) => !table.key.includes(column.name));
  const changed = columns.filter((column) => !same(valueOf(column, typed[column.name]), row[column.name]));
  return Object.fromEntries(changed.map((column) => [column.name, valueOf(column, typed[column.name])]));
}

/** The column that a problem speaks of: the master writes names between quotation marks. */
export function columnOf(table, problem) {
  return table.columns.find((column) => problem.includes(JSON.stringify(column.name)))?.name ?? null;
}

/** A name as the master compares it. */
export const fold = (name) => name.trim().toLowerCase();

// A table as it is declared, as the form holds it and as the master is told. Pure.

/** The form as it is opened. */
export const FIRST = {
  shape: "products",
  name: "",
  columns: [
    { name: "", kind: "text", nullable: false, key: true },
    { name: "", kind: "text", nullable: false, key: false },
  ],
  aggregates: [],
};

/** Another column. */
export const COLUMN = { name: "", kind: "text", nullable: false, key: false };

/** Another value of an aggregate. */
export const VALUE = { op: "count", column: "", name: "" };

/** The body of the request. */
export function draftOf(form) {
  if (form.shape !== "own") return { preset: form.shape };
  const columns = form.columns.filter((column) => column.name.trim() !== "");
  return {
    name: form.name.trim(),
    key: columns.filter((column) => column.key).map((column) => column.name.trim()),
    columns: columns.map(({ name, kind, nullable, key }) => ({ name: name.trim(), kind, ...(nullable && !key ? { nullable } : {}) })),
    aggregates: form.aggregates.map((one) => aggregateOf(one, columns)),
  };
}

function aggregateOf({ name, groupBy, values }, columns) {
  const draft = { group_by: groupBy || first(columns), values: values.map((value) => valueOf(value, columns)) };
  return name.trim() ? { name: name.trim(), ...draft } : draft;
}

// The first column that groups, where none was chosen: one that always has a value.
const first = (columns) => columns.find(({ key, nullable }) => key || !nullable)?.name.trim() ?? "";

function valueOf({ op, column, name }, columns) {
  if (op === "count") return { op, column: null, name: name.trim() || "rows" };
  const of = column || columns.find(({ kind }) => kind === "integer")?.name.trim() || "";
  const words = { sum: "Total", min: "Smallest", max: "Largest" };
  return { op, column: of, name: name.trim() || `${words[op]} ${of}` };
}

// What is to be computed, as the form holds it and as the master is told. Pure.

/** The roles that a column can have. */
export const ROLES = ["group by", "sum", "min", "max"];

/** The classic job, nothing rejected. */
export const FIRST = {
  shape: "plays",
  /** Columns with a role, in the order of their choice. */
  roles: [],
  count: false,
  priority: "default",
  maxRejects: "0",
  order: "sorted",
  keepInput: false,
};

/** The parameters of a submission, and of the preflight of one. */
export function params(form, columns) {
  const rest = {
    order: form.order === "sorted" ? null : form.order,
    max_rejects: form.maxRejects.trim() === "0" ? null : form.maxRejects.trim(),
  };
  if (form.shape !== "custom") return { preset: form.shape, ...rest };
  const kind = new Map(columns.map((column) => [column.name, column.kind]));
  const of = (role) => form.roles.filter(([, its]) => its === role).map(([name]) => name);
  return {
    group_by: of("group by").map((name) => `${name}:${form.kinds?.[name] ?? kind.get(name) ?? "text"}`).join(","),
    sum: of("sum"),
    min: of("min").map((name) => `${name}=Smallest ${name}`),
    max: of("max").map((name) => `${name}=Largest ${name}`),
    count: form.count ? "Records" : null,
    ...rest,
  };
}

/** The form with another role for a column. */
export function withRole(form, name, role) {
  const others = form.roles.filter(([its]) => its !== name);
  return { ...form, roles: role ? [...others, [name, role]] : others };
}

/** The form for a spec, such as one that the master suggests. */
export function fromSpec(form, spec) {
  const groups = spec.group_by.map((column) => [column.name, "group by"]);
  const sums = spec.aggregates.filter((one) => one.column).map((one) => [one.column, one.op]);
  const kinds = Object.fromEntries(spec.group_by.map((column) => [column.name, column.kind]));
  const count = spec.aggregates.some((one) => one.op === "count");
  return { ...form, shape: "custom", roles: [...groups, ...sums], kinds, count };
}

/** A first guess at what to do with columns that nothing is known of but their kinds. */
export function guess(form, columns) {
  const sums = columns.filter((column) => column.kind === "integer" && sayable(column.name));
  const groups = columns.filter((column) => column.kind !== "integer" && sayable(column.name)).slice(0, 2);
  const roles = [...groups.map((column) => [column.name, "group by"]), ...sums.slice(-1).map((column) => [column.name, "sum"])];
  return { ...form, shape: "custom", roles, kinds: {}, count: !sums.length };
}

/** Whether the parameters can name a column: commas and equals signs have a meaning there. */
export const sayable = (name) => name !== "" && !/[,=]/.test(name);

// Numbers, sizes, times and rates as people read them. Pure: what the time is, is passed in.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const grouped = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** A whole number in groups of three digits. Takes decimal texts of any length, too. */
export function count(n) {
  if (n === null || n === undefined) return "–";
  if (typeof n === "number") return grouped.format(n);
  return /^-?\d+$/.test(n) ? n.replace(/\B(?=(\d{3})+$)/g, ",") : n;
}

/** A number of things: "1 task", "2 tasks". */
export function things(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** A large number in three digits: 1.23 M. */
export function short(n) {
  if (n < 10_000) return count(Math.round(n));
  const step = Math.min(Math.floor(Math.log10(n) / 3), 5);
  return `${three(n / 1000 ** step)} ${["", "k", "M", "G", "T", "P"][step]}`;
}

/** A size in bytes: decimal units, three digits. */
export function bytes(n) {
  if (n === null || n === undefined) return "–";
  if (n < 1000) return `${Math.round(n)} B`;
  const step = Math.min(Math.floor(Math.log10(n) / 3), UNITS.length - 1);
  return `${three(n / 1000 ** step)} ${UNITS[step]}`;
}

/** Bytes a second. */
export const rate = (n) => `${bytes(n)}/s`;

function three(x) {
  return x >= 99.95 ? x.toFixed(0) : x >= 9.995 ? x.toFixed(1) : x.toFixed(2);
}

/** A share from 0 to 1; never "100%" before it is all, nor "0%" once there is some. */
export function percent(share) {
  if (share >= 1) return "100%";
  return `${Math.min(Math.max(Math.floor(share * 1000) / 10, share > 0 ? 0.1 : 0), 99.9).toFixed(1)}%`;
}

/** A span of time in its two largest units. */
export function duration(ms) {
  if (ms === null || ms === undefined || !isFinite(ms)) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 59.95) return `${s < 9.995 ? s.toFixed(1) : Math.round(s)} s`;
  const whole = Math.round(s);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor(whole / 60) % 60} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor(whole / 3600) % 24} h`;
}

/** How long ago a time was. */
export function ago(time, now) {
  const ms = now - Date.parse(time);
  return ms < 2000 ? "just now" : `${duration(ms < 60_000 ? Math.floor(ms / 1000) * 1000 : ms)} ago`;
}

/** A point in time, in the reader's own time zone. */
export function moment(time) {
  return time ? clock.format(new Date(time)) : "–";
}

/** A CRC-32C as it is written everywhere else. */
export const crc = (n) => n.toString(16).padStart(8, "0");

// Which page is shown: the part of the address behind the `#`, so that no route of the master is touched.

import { useEffect, useState } from "./html.js";

/** Where a job is shown. */
export const jobHref = (id) => `#/jobs/${encodeURIComponent(id)}`;

/** Where a table is shown. */
export const tableHref = (name) => `#/tables/${encodeURIComponent(name)}`;

/** The page that the address names. */
export function route(hash = location.hash) {
  const table = /^#\/tables\/([a-z0-9_]+)/.exec(hash);
  if (table) return { page: "table", id: table[1] };
  if (hash.startsWith("#/tables")) return { page: "tables" };
  if (hash.startsWith("#/sources")) return { page: "sources" };
  const job = /^#\/jobs\/([^/?]+)/.exec(hash);
  if (!job) return { page: "overview" };
  try {
    return { page: "job", id: decodeURIComponent(job[1]) };
  } catch {
    return { page: "job", id: job[1] };
  }
}

/** The same, for as long as it is on screen. */
export function useRoute() {
  const [at, setAt] = useState(route);
  useEffect(() => {
    const move = () => {
      setAt(route());
      window.scrollTo(0, 0);
      // What had the focus is gone with its page: who uses the keyboard goes on where the new one begins.
      document.getElementById("main").focus({ preventScroll: true });
    };
    addEventListener("hashchange", move);
    return () => removeEventListener("hashchange", move);
  }, []);
  return at;
}

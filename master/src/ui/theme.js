// Light or dark: as the system says, until somebody chooses. Also gives colours to what is drawn on canvas.

const KEY = "tally-theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const listeners = new Set();
const system = matchMedia("(prefers-color-scheme: dark)");

/** What was chosen: "auto", "light" or "dark". */
export function chosen() {
  try {
    return localStorage.getItem(KEY) ?? "auto";
  } catch {
    return "auto";
  }
}

/** Goes on to the next of the three. */
export function choose() {
  const next = NEXT[chosen()] ?? "auto";
  try {
    if (next === "auto") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // Storage can be forbidden; then the choice lasts as long as the page.
  }
  apply(next);
  return next;
}

/** Puts a choice into effect. */
export function apply(theme = chosen()) {
  document.documentElement.dataset.theme = theme;
  for (const listener of listeners) listener();
}

/** Calls `listener` when colours have changed, until the returned function is called. */
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The colour behind a custom property, as canvas understands it. */
export function colour(name) {
  const probe = document.getElementById("probe");
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

system.addEventListener("change", () => apply());

// Says what has changed to those who do not see it: one polite live region, at most one text a second.

const PAUSE_MS = 1000;
// More than this at once is noise: the rest is counted.
const MOST = 3;

let waiting = [];
let timer = 0;

/** Has a screen reader say `text` when it has the time. */
export function announce(text) {
  waiting.push(text);
  timer ||= setTimeout(say, PAUSE_MS);
}

function say() {
  timer = 0;
  const rest = waiting.length - MOST;
  const text = waiting.slice(0, MOST).join(". ") + (rest > 0 ? `. And ${rest} more` : "");
  waiting = [];
  document.getElementById("announcer").textContent = text;
}

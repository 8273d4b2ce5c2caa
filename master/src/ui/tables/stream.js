// The changes of the table that is shown, handed on once a frame. What comes faster than anybody could draw
// is given up: then the rows are read again, as they are after a gap in the stream.

// Changes that wait for the next frame; behind a table that is filled by a file there are far more.
const MOST = 2000;

const listeners = new Set();
let changes = [];
let lost = false;
let frame = 0;

/**
 * Calls `listener` with `{ changes, lost }`: changes in their order, and whether some before them are missing.
 * Until the returned function is called.
 */
export function onChanges(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Takes a change of the stream. */
export function takeChange(change) {
  changes.push(change);
  if (changes.length > 2 * MOST) {
    changes = changes.slice(-MOST);
    lost = true;
  }
  frame ||= requestAnimationFrame(hand);
}

/** Takes note that the stream has a gap. */
export function takeLost() {
  changes = [];
  lost = true;
  frame ||= requestAnimationFrame(hand);
}

/** Forgets what was of another table. */
export function reset() {
  changes = [];
  lost = false;
}

function hand() {
  const batch = { changes, lost };
  [changes, lost, frame] = [[], false, 0];
  if (!batch.changes.length && !batch.lost) return;
  for (const listener of [...listeners]) listener(batch);
}

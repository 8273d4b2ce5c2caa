// Small hooks: the store's changes, the time, and an answer of the master.

import { useEffect, useRef, useState } from "../html.js";
import { subscribe } from "../store.js";
import { ask } from "../api.js";

/** What `pick` makes of the store; draws again when that is another value. */
export function useStore(pick) {
  const [, draw] = useState(0);
  const ref = useRef();
  ref.current = { pick, value: pick() };
  useEffect(
    () =>
      subscribe(() => {
        const { pick: now, value } = ref.current;
        if (now() !== value) draw((n) => n + 1);
      }),
    [],
  );
  return ref.current.value;
}

/** The time, every `ms` milliseconds. */
export function useNow(ms) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), ms);
    return () => clearInterval(timer);
  }, [ms]);
  return now;
}

/** A value once it has been the same for `ms` milliseconds. */
export function useSettled(value, ms = 250) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}

/**
 * The answer to a GET of `path` (null: nothing is asked), asked again when `path` or `turn` changes. The last
 * answer stays until the next one is there.
 */
export function useAnswer(path, turn = 0) {
  const [state, setState] = useState({ path: null, data: null, problem: null, busy: true });
  useEffect(() => {
    if (!path) return undefined;
    const abort = new AbortController();
    setState((was) => ({ ...was, busy: true }));
    ask(path, { signal: abort.signal }).then(
      (data) => setState({ path, data, problem: null, busy: false }),
      (problem) => {
        if (!abort.signal.aborted) setState({ path, data: null, problem, busy: false });
      },
    );
    return () => abort.abort();
  }, [path, turn]);
  return state;
}

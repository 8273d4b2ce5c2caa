// Small hooks: the store's changes, the time, and an answer of the master.

import { useCallback, useEffect, useRef, useState } from "../html.js";
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

/**
 * The answer to a GET of `path`, asked for every `ms` milliseconds while somebody looks, and once `soon` is
 * called. The last answer stays when a later one is a problem, and is the same object as long as it says the same.
 */
export function usePolled(path, ms) {
  const [state, setState] = useState({ data: null, problem: null });
  const soon = useRef(() => {});
  useEffect(() => {
    const abort = new AbortController();
    let [timer, busy, again, known] = [0, false, false, ""];
    const take = (data) => {
      const text = JSON.stringify(data);
      setState((was) => (was.data && text === known ? (was.problem ? { data: was.data, problem: null } : was) : { data, problem: null }));
      known = text;
    };
    const look = async () => {
      clearTimeout(timer);
      [busy, again] = [true, false];
      if (!document.hidden) {
        await ask(path, { signal: abort.signal }).then(take, (problem) => {
          if (!abort.signal.aborted) setState((was) => ({ ...was, problem }));
        });
      }
      busy = false;
      if (!abort.signal.aborted) timer = setTimeout(look, again ? 0 : ms);
    };
    soon.current = () => (busy ? (again = true) : look());
    look();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [path, ms]);
  return { ...state, soon: useCallback(() => soon.current(), []) };
}

/** Calls `work` at once, and then at most every `ms` milliseconds, but always once after the last call. */
export function useThrottled(work, ms) {
  const ref = useRef({ timer: 0, wanted: false });
  ref.current.work = work;
  useEffect(() => () => clearTimeout(ref.current.timer), []);
  return useCallback(() => {
    const it = ref.current;
    if (it.timer) return void (it.wanted = true);
    const run = () => {
      it.wanted = false;
      it.work();
      it.timer = setTimeout(() => {
        it.timer = 0;
        if (it.wanted) run();
      }, ms);
    };
    run();
  }, [ms]);
}

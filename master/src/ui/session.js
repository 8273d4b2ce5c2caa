// Who looks at this page, and what he may do. The master asks for each request again: what is said here only keeps
// the page from offering what would be refused.

/** As `GET /session` has it; `known` once it was asked. */
export const session = { known: false, who: null, scopes: [], csrf: null, guarded: false };

const listeners = new Set();
const RANKS = { read: 1, submit: 2, admin: 3 };

/** Calls `listener` whenever somebody else looks, until the returned function is called. */
export function onSession(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Takes note of who looks. */
export function setSession({ who, scopes, csrf, guarded }) {
  Object.assign(session, { known: true, who, scopes, csrf, guarded });
  for (const listener of [...listeners]) listener();
}

/** Nobody is known any more: the session has ended, or its key was revoked. */
export function lost() {
  if (session.scopes.length > 0 || !session.known) setSession({ who: null, scopes: [], csrf: null, guarded: true });
}

/** Asks the master who looks. Fails where it does not answer. */
export async function check() {
  const response = await fetch("/session", { headers: { accept: "application/json" }, cache: "no-store" });
  if (!response.ok) throw new Error(`The answer was ${response.status}`);
  setSession(await response.json());
}

/** Whether whoever looks may do what wants this scope. */
export const allowed = (scope) => !session.guarded || session.scopes.some((one) => RANKS[one] >= RANKS[scope]);

/** What a button says that wants a scope: nothing, or that it can not be pressed, and why. */
export const may = (scope) => (allowed(scope) ? {} : { disabled: true, title: `This needs a key with the scope ${scope}` });

/** The header by which a request that changes something shows that it comes from this page. */
export const proof = () => (session.csrf ? { "X-CSRF-Token": session.csrf } : {});

// The page of those who have not shown a key yet, and the button with which one leaves.

import { html, useState } from "./html.js";
import { ask } from "./api.js";
import { check, session, setSession } from "./session.js";
import { ProblemBox } from "./parts/problem.js";

/** Asks for a key. */
export function Login() {
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    const body = JSON.stringify({ key: new FormData(event.target).get("key") });
    setBusy(true);
    setProblem(null);
    try {
      setSession(await ask("/session", { method: "POST", headers: { "content-type": "application/json" }, body }));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<main id="main" class="login" tabindex="-1"><form class="panel" method="post" action="/session" onSubmit=${submit}>
    <h1>Tally</h1>
    <p class="sub">This master asks for a key. <code>tally keys create</code> makes one.</p>
    ${session.who && html`<p class="notice">${session.who} may not look at this master.</p>`}
    <label class="field">API key
      <input type="password" name="key" required autofocus autocomplete="current-password" spellcheck="false" /></label>
    <${ProblemBox} problem=${problem} />
    <button type="submit" class="button primary" disabled=${busy}>Log in</button>
  </form></main>`;
}

/** Who looks, and how he leaves; nothing on a master that asks nobody. */
export function Myself() {
  const [problem, setProblem] = useState(null);
  if (!session.guarded || !session.who) return null;
  const leave = () => ask("/session", { method: "DELETE" }).then(check).catch(setProblem);
  return html`<span class="myself" title=${`May: ${session.scopes.join(", ")}`}>${session.who}</span>
    ${session.csrf && html`<button type="button" class="button quiet-button" onClick=${leave}>Log out</button>`}
    <${ProblemBox} problem=${problem} />`;
}

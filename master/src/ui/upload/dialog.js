// What is asked before a file is counted: what it holds, what is to be computed of it, and what that will take.

import { html, useEffect, useMemo, useState } from "../html.js";
import { ask, query } from "../api.js";
import { bytes } from "../format.js";
import { jobHref } from "../route.js";
import { Dialog } from "../parts/dialog.js";
import { useSettled } from "../parts/hooks.js";
import { ProblemBox, Quiet } from "../parts/problem.js";
import { Report } from "./preflight.js";
import { FIRST, fromSpec, guess, params } from "./spec.js";
import { SpecForm } from "./form.js";
import { send } from "./send.js";

// What the preflight is shown of a file, in bytes.
const SAMPLE = 8 << 20;

/** The dialog for a file that was chosen or dropped. `onInstead` is called when it is for a table. */
export function UploadDialog({ file, onClose, onInstead }) {
  const [form, setForm] = useState(FIRST);
  const { report, problem } = usePreflight(file, form);
  const [failed, setFailed] = useState(null);
  const [busy, setBusy] = useState(false);
  const columns = report?.columns ?? [];
  const change = (next) => {
    const fresh = next.shape === "custom" && form.shape !== "custom" && !next.roles.length;
    setForm(fresh ? guess(next, columns) : next);
  };
  const start = async (event) => {
    event.preventDefault();
    setBusy(true);
    setFailed(null);
    try {
      const { priority, keepInput } = form;
      const extra = { name: file.name, priority, keep_input: keepInput ? "true" : null };
      const upload = await send(file, { ...params(form, columns), ...extra });
      onClose();
      location.hash = jobHref(upload.id);
    } catch (error) {
      setFailed(error);
      setBusy(false);
    }
  };
  return html`<${Dialog} title="Count a file" onClose=${onClose} wide>
    <form onSubmit=${start}>
      <div class="dialog-body">
        <p class="file-line"><strong>${file.name}</strong> <span class="sub">${bytes(file.size)}</span></p>
        <${SpecForm} form=${form} columns=${columns} onChange=${change} />
        <div class="preflight" aria-live="polite" aria-busy=${!report && !problem}>
          ${report && html`<${Report} report=${report} onSuggestion=${(spec) => setForm(fromSpec(form, spec))} />`}
          ${!report && !problem && html`<${Quiet}>Looking at the beginning of the file<//>`}
          ${problem && (problem.status === 404 || problem.status === 405
            ? html`<${Quiet}>This master does not look at files beforehand; it will say what is wrong once it counts.<//>`
            : html`<${ProblemBox} problem=${problem} />`)}
        </div>
        <${ProblemBox} problem=${failed} />
      </div>
      <div class="dialog-foot">
        <button type="button" class="button aside" onClick=${onInstead}>Into a table instead</button>
        <button type="button" class="button" onClick=${onClose}>Not now</button>
        <button type="submit" class="button primary" disabled=${busy}>${report && !report.ok ? "Count it anyway" : "Count it"}</button>
      </div>
    </form>
  <//>`;
}

// Asks again whenever the spec is another one, once it is left alone; the last report stays meanwhile.
function usePreflight(file, form) {
  const [state, setState] = useState({ report: null, problem: null });
  const key = useSettled(useMemo(() => query({ bytes: file.size, ...params(form, state.report?.columns ?? []) }), [file, form, state.report]));
  useEffect(() => {
    const abort = new AbortController();
    const options = { method: "POST", body: file.slice(0, SAMPLE), signal: abort.signal,
      headers: { "content-type": "application/octet-stream" } };
    ask(`/api/v1/preflight${key}`, options).then(
      (report) => setState({ report, problem: null }),
      (problem) => {
        if (!abort.signal.aborted) setState((was) => ({ ...was, problem }));
      },
    );
    return () => abort.abort();
  }, [file, key]);
  return state;
}

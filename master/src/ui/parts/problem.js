// What went wrong, readable: what, why, and what to do.

import { html } from "../html.js";
import { Icon } from "./icon.js";

/** A problem, with a way to try again where there is one. */
export function ProblemBox({ problem, again }) {
  if (!problem) return null;
  return html`<div class="problem" role="alert">
    <${Icon} name="warning" />
    <div>
      <strong>${problem.title ?? "Something went wrong"}</strong>
      <p>${problem.detail ?? problem.message}</p>
    </div>
    ${again && html`<button type="button" class="button" onClick=${again}>Try again</button>`}
  </div>`;
}

/** A quiet line where there is nothing to show, or not yet. */
export const Quiet = ({ children }) => html`<p class="quiet">${children}</p>`;

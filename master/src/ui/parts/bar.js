// Bars: how much of something. Always with words beside them or for a screen reader.

import { html } from "../html.js";
import { percent } from "../format.js";

/** How far something is: `share` from 0 to 1, or null where that is not known. */
export function ProgressBar({ share, state, label }) {
  const known = share !== null;
  const shown = known ? Math.min(share, 1) : 1;
  return html`<div class="bar" data-state=${state} data-known=${String(known)} role="progressbar" aria-label=${label}
    aria-valuemin="0" aria-valuemax="100" aria-valuenow=${known ? Math.floor(shown * 100) : null}
    aria-valuetext=${known ? percent(share) : "not known"}>
    <div class="bar-fill" style=${{ transform: `scaleX(${shown})` }}></div>
  </div>`;
}

/** How much of something there is: parts of a whole, each with a class. */
export function Meter({ parts, label }) {
  return html`<div class="meter" role="img" aria-label=${label}>
    ${parts.map(([kind, share]) => html`<div class="meter-part" data-kind=${kind} key=${kind}
      style=${{ width: `${Math.max(0, Math.min(share, 1)) * 100}%` }}></div>`)}
  </div>`;
}

// Icons and the states of jobs: a shape and a word for each colour.

import { html } from "../html.js";

const PATHS = {
  receiving: "M8 2v8m0 0 3.5-3.5M8 10 4.5 6.5M3 13.5h10",
  running: "M5 3.2v9.6l8-4.8z",
  merging: "M3 2.5c0 4 5 3.500 5 7.500v3.500M13 2.500c0 4-5 3.500-5 7.500",
  succeeded: "M3 8.500l3.500 3.500L13 4.500",
  failed: "M4 4l8 8M12 4l-8 8",
  cancelled: "M3.800 3.800l8.400 8.400M8 2a6 6 0 1 0 .01 0",
  upload: "M8 11V3m0 0L4.500 6.500M8 3l3.500 3.500M2.500 11v2.500h11V11",
  download: "M8 2.500v8m0 0 3.500-3.500M8 10.500 4.500 7M2.500 13.500h11",
  sun: "M8 5a3 3 0 1 0 .01 0M8 1v1.500M8 13.500V15M1 8h1.500M13.500 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
  moon: "M13 9.500A5.500 5.500 0 0 1 6.500 3 5.500 5.500 0 1 0 13 9.500z",
  auto: "M8 2a6 6 0 1 0 .01 0M8 2v12M8 5l4.500-1M8 8h6M8 11l4.500 1",
  close: "M4 4l8 8M12 4l-8 8",
  back: "M9.500 3 4.500 8l5 5",
  bin: "M2.500 4.500h11M6 4.500V2.500h4v2M4 4.500l.7 9h6.600l.7-9",
  warning: "M8 2 1.500 13.500h13zM8 6.500v3.500M8 11.800v.2",
  plus: "M8 3v10M3 8h10",
  pause: "M5.500 3v10M10.500 3v10",
  repeat: "M13 8a5 5 0 1 1-1.500-3.500M13 2v3h-3",
};

/** An icon; says nothing to a screen reader, as a word stands beside it. */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}

/** A job's state as a shape, a colour and a word. */
export function State({ state }) {
  return html`<span class="state" data-state=${state}><${Icon} name=${state} />${state}</span>`;
}

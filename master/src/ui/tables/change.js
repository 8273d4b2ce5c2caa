// What a change did to its row: a shape, a colour and a word.

import { html } from "../html.js";

const SIGNS = { added: "+", updated: "~", deleted: "−" };

/** A change as a tag. */
export const ChangeTag = ({ change }) => html`<span class="tag change" data-change=${change}><span aria-hidden="true">${SIGNS[change]} </span>${change}</span>`;

// Where the page begins.

import { html, render } from "./html.js";
import { apply } from "./theme.js";
import { App } from "./app.js";
import { check } from "./session.js";

// A master that is just starting is asked again, in milliseconds.
const AGAIN_MS = 1000;
const begin = () => check().catch(() => setTimeout(begin, AGAIN_MS));

apply();
begin();
render(html`<${App} />`, document.getElementById("app"));

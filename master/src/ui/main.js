// Where the page begins.

import { html, render } from "./html.js";
import { apply } from "./theme.js";
import { App } from "./app.js";

apply();
render(html`<${App} />`, document.getElementById("app"));

// What the other modules draw with: Preact and htm, from one place. A template's values are always text or
// attributes, never markup; nothing here or elsewhere turns a string into HTML.

export {
  html, render, Component, useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback,
} from "./vendor/preact-htm/standalone.module.js";

import { html, Component } from "./vendor/preact-htm/standalone.module.js";

/** A component that is drawn again only when one of its properties is another one. */
export function memo(draw) {
  return class extends Component {
    shouldComponentUpdate(next) {
      const now = this.props;
      for (const key in next) if (next[key] !== now[key]) return true;
      for (const key in now) if (!(key in next)) return true;
      return false;
    }

    render(props) {
      return html`<${draw} ...${props} />`;
    }
  };
}

// A modal dialog: the browser keeps the focus within, and gives it back when it closes.

import { html, useEffect, useRef } from "../html.js";
import { Icon } from "./icon.js";

/** A dialog that is open as long as it is drawn. */
export function Dialog({ title, onClose, wide = false, children }) {
  const ref = useRef();
  useEffect(() => {
    const dialog = ref.current;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  const cancel = (event) => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${ref} class=${wide ? "dialog wide" : "dialog"} aria-labelledby="dialog-title"
    onCancel=${cancel}>
    <div class="dialog-head">
      <h2 id="dialog-title">${title}</h2>
      <button type="button" class="button quiet-button" onClick=${onClose} aria-label="Close"><${Icon} name="close" /></button>
    </div>
    ${children}
  </dialog>`;
}

/** Asks before something that can not be taken back. */
export function Confirm({ title, verb, onYes, onClose, busy, children }) {
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <div class="dialog-body">${children}</div>
    <div class="dialog-foot">
      <button type="button" class="button" onClick=${onClose} autofocus>Keep it</button>
      <button type="button" class="button danger" onClick=${onYes} disabled=${busy}>${verb}</button>
    </div>
  <//>`;
}

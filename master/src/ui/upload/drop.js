// A file dropped anywhere on the page.

import { useEffect, useState } from "../html.js";

/** Calls `onFile` with a file that is dropped; tells whether one is held over the page. */
export function useDrop(onFile) {
  const [over, setOver] = useState(false);
  useEffect(() => {
    // Moving over a child leaves its parent: only the balance says whether the pointer is still here.
    let depth = 0;
    const files = (event) => event.dataTransfer?.types.includes("Files");
    const handlers = {
      dragenter(event) {
        if (!files(event)) return;
        depth += 1;
        setOver(true);
      },
      dragover(event) {
        if (files(event)) event.preventDefault();
      },
      dragleave() {
        depth = Math.max(0, depth - 1);
        if (!depth) setOver(false);
      },
      drop(event) {
        depth = 0;
        setOver(false);
        const [file] = event.dataTransfer?.files ?? [];
        if (!file) return;
        event.preventDefault();
        onFile(file);
      },
    };
    for (const [name, handler] of Object.entries(handlers)) addEventListener(name, handler);
    return () => {
      for (const [name, handler] of Object.entries(handlers)) removeEventListener(name, handler);
    };
  }, [onFile]);
  return over;
}

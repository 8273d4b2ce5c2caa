// The stream of events, one at a time for a page: browsers allow six connections to a server, over all
// tabs. Says whether it lives, opens again after a master's restart, and lets go while nobody looks.

import { parse } from "./api.js";
import { check, session } from "./session.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;
// The cluster's stream says something each second; after this it is taken for dead.
const SILENCE_MS = 20_000;
// A tab that nobody looks at gives its connection back after this.
const HIDDEN_MS = 10_000;

export class Live {
  /**
   * @param kinds    names of events
   * @param onEvent  called with an event's name and its data
   * @param onState  called with "connecting", "live", "reconnecting", "paused" or "ended"
   */
  constructor(kinds, onEvent, onState) {
    Object.assign(this, { kinds, onEvent, onState, url: null, last: null, wait: FIRST_WAIT_MS });
    document.addEventListener("visibilitychange", () => this.look());
  }

  /**
   * Listens at `url` from now on; `null` for nowhere. `silence` tells whether it is never silent, `resume` by
   * which parameter it takes up after the last event, `last` after which event it begins.
   */
  listen(url, { silence = false, resume = "last_event_id", last = null } = {}) {
    if (url === this.url) return;
    this.close();
    Object.assign(this, { url, silence, resume, last, wait: FIRST_WAIT_MS, over: false });
    if (url) this.open("connecting");
  }

  /** Opens what is closed now, without waiting. */
  now() {
    if (this.url && !this.source && !this.over) this.open("reconnecting");
  }

  open(state) {
    clearTimeout(this.timer);
    this.onState(state);
    const known = this.last !== null ? `?${this.resume}=${encodeURIComponent(this.last)}` : "";
    const source = new EventSource(this.url + known);
    this.source = source;
    source.onopen = () => {
      this.wait = FIRST_WAIT_MS;
      this.onState("live");
      this.heard();
    };
    source.onerror = () => this.again();
    for (const kind of this.kinds) {
      source.addEventListener(kind, (event) => {
        if (event.lastEventId) this.last = event.lastEventId;
        this.heard();
        if (kind === "end") this.end();
        this.onEvent(kind, parse(event.data));
      });
    }
  }

  /** All has been said: nothing to wait for. */
  end() {
    this.over = true;
    this.close();
    this.onState("ended");
  }

  // EventSource would try again by itself, but not after every kind of failure, and it does not say when.
  again() {
    this.close();
    if (this.over) return;
    this.onState("reconnecting");
    // It does not say why it was refused: the session may have ended.
    if (session.guarded) check().catch(() => {});
    this.timer = setTimeout(() => this.open("reconnecting"), this.wait * (0.75 + Math.random() / 2));
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
  }

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.silent);
    this.source?.close();
    this.source = null;
  }

  heard() {
    clearTimeout(this.silent);
    if (this.silence) this.silent = setTimeout(() => this.again(), SILENCE_MS);
  }

  look() {
    clearTimeout(this.hiding);
    if (document.visibilityState === "visible") return this.now();
    this.hiding = setTimeout(() => {
      if (!this.source || this.over) return;
      this.close();
      this.onState("paused");
    }, HIDDEN_MS);
  }
}

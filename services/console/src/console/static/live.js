/**
 * The live stream: one for all tabs of a browser, which allows a host only six connections.
 *
 * The tab that holds the lock reads the stream and tells the others; when it closes, another one goes on from the
 * last id that it heard. It is read with fetch: EventSource shows no status (a session that is over looks like a
 * broken line), loses its last id when a 503 closes it, and can't be told from a connection that hangs.
 */

import { PATHS, address } from "./api.js";

const STREAM = PATHS.stream.split(" ")[1];
const SILENCE = 40_000;
const FIRST_PAUSE = 400;
const LONGEST_PAUSE = 10_000;
const LONG_ENOUGH_TO_SAY = 700;

export class Live extends EventTarget {
  #channel = new BroadcastChannel("connected-inbox-live");
  #last = "";
  #stopped = false;
  #pause = FIRST_PAUSE;
  #hurry = () => {};
  #hangUp = () => {};
  #saying = 0;

  /** connecting, live, reconnecting, offline, signed_out or refused */
  state = "connecting";
  /** Whether this tab is the one that reads. */
  leads = false;

  start() {
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#channel.postMessage({ ask: true });
    navigator.locks.request("connected-inbox-live", () => this.#lead());
    addEventListener("online", () => this.#hurry());
    // A connection without a network may seem open for minutes.
    addEventListener("offline", () => this.#hangUp());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  /** Wait until the stream is open, so that what is loaded from now on misses nothing; or for so long. */
  opened(milliseconds) {
    if (this.state === "live") return Promise.resolve(true);
    return new Promise((settle) => {
      const done = () => settle(this.state === "live");
      this.addEventListener("state", done, { once: true });
      setTimeout(done, milliseconds);
    });
  }

  #hear({ ask, events, id, state, fresh }) {
    if (ask) {
      if (this.leads) this.#channel.postMessage({ id: this.#last, state: this.state });
      return;
    }
    if (id) this.#last = id;
    if (state) this.#become(state, fresh);
    if (events) this.#tell(events);
  }

  #tell(events) {
    for (const { event, data } of events) this.dispatchEvent(new CustomEvent("row", { detail: { event, data } }));
    this.dispatchEvent(new Event("told"));
  }

  #become(state, fresh = false) {
    if (this.leads) this.#channel.postMessage({ state, fresh, id: this.#last });
    clearTimeout(this.#saying);
    const changed = this.state !== state;
    this.state = state;
    if (changed || fresh) this.dispatchEvent(new CustomEvent("state", { detail: { state, fresh } }));
  }

  #lost() {
    const state = navigator.onLine ? "reconnecting" : "offline";
    if (this.state !== "live" || state === "offline") return this.#become(state);
    // A service that is started anew is back before anybody need read about it.
    clearTimeout(this.#saying);
    this.#saying = setTimeout(() => this.#become(state), LONG_ENOUGH_TO_SAY);
  }

  async #lead() {
    this.leads = true;
    while (!this.#stopped) {
      try {
        await this.#read();
      } catch (error) {
        if (error instanceof Over) {
          this.#become(error.message);
          if (error.message === "signed_out") return;
        }
      }
      if (!(this.state === "refused")) this.#lost();
      await this.#rest();
    }
  }

  async #rest() {
    const pause = this.#pause * (0.5 + Math.random());
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
    await new Promise((go) => {
      const timer = setTimeout(go, pause);
      this.#hurry = () => {
        clearTimeout(timer);
        this.#pause = FIRST_PAUSE;
        go();
      };
    });
    this.#hurry = () => {};
  }

  async #read() {
    const hanging = new AbortController();
    this.#hangUp = () => hanging.abort();
    let silence = setTimeout(() => hanging.abort(), SILENCE);
    try {
      const resumed = Boolean(this.#last);
      const answer = await fetch(address(STREAM, {}, { after: this.#last }), {
        headers: { accept: "text/event-stream" },
        signal: hanging.signal,
        cache: "no-store",
      });
      if (answer.status === 401) throw new Over("signed_out");
      if (answer.status === 403) throw new Over("refused");
      if (answer.status === 422) this.#last = "";
      if (!answer.ok || !answer.body) throw new Error(`the stream answered ${answer.status}`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (let open = false; ; ) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(silence);
        silence = setTimeout(() => hanging.abort(), SILENCE);
        text += value;
        const blocks = text.split("\n\n");
        text = blocks.pop();
        const events = this.#take(blocks);
        if (!open && this.#last) {
          // From here on nothing is missed: what was loaded before a stream that resumes nothing is loaded again.
          open = true;
          this.#pause = FIRST_PAUSE;
          this.#become("live", !resumed);
        }
        if (events.length) {
          this.#channel.postMessage({ events, id: this.#last });
          this.#tell(events);
        }
      }
    } finally {
      clearTimeout(silence);
      hanging.abort();
    }
  }

  #take(blocks) {
    const events = [];
    for (const block of blocks) {
      let event = "message";
      let data = "";
      for (const line of block.split("\n")) {
        const colon = line.indexOf(": ");
        const [name, value] = [line.slice(0, colon), line.slice(colon + 2)];
        if (name === "id") this.#last = value;
        else if (name === "event") event = value;
        else if (name === "data") data += value;
      }
      if (data) events.push({ event, data: JSON.parse(data) });
    }
    return events;
  }
}

class Over extends Error {}

/**
 * What people send, until a service has taken it: shown at once, sent again under the same key when the line was
 * broken, and kept over a reload.
 */

import { Refused, call } from "./api.js";

const KEPT = "connected-inbox-outbox";
const PAUSE = 3_000;

export class Sending extends EventTarget {
  #items = new Map();
  #running = false;
  #due = 0;

  constructor() {
    super();
    for (const item of JSON.parse(sessionStorage.getItem(KEPT) ?? "[]")) {
      this.#items.set(item.key, item.state === "sending" ? { ...item, state: "waiting" } : item);
    }
    addEventListener("online", () => this.go());
  }

  /** Texts to a contact of an inbox that no service has taken yet, in order. */
  of(inboxId, number) {
    return [...this.#items.values()].filter((item) => item.inbox_id === inboxId && item.to === number);
  }

  /** Send a text. It will be sent once, however often that has to be tried. */
  text({ inbox_id, to, from, body }) {
    const item = { key: crypto.randomUUID(), inbox_id, to, from, body, at: new Date().toISOString(), state: "sending" };
    this.#items.set(item.key, item);
    this.#changed(item);
    this.go();
    return item;
  }

  /** Try what failed again. */
  retry(key) {
    const item = this.#items.get(key);
    if (item) this.#become(item, "sending");
    this.go();
  }

  /** Let go of what could not be sent. */
  discard(key) {
    const item = this.#items.get(key);
    this.#items.delete(key);
    if (item) this.#changed(item);
  }

  /** Send what waits, one after another, so that they arrive in their order. */
  async go() {
    if (this.#running) return;
    this.#running = true;
    clearTimeout(this.#due);
    try {
      for (const item of Array.from(this.#items.values())) {
        if (item.state === "failed" || !this.#items.has(item.key)) continue;
        if (!(await this.#send(item))) break;
      }
    } finally {
      this.#running = false;
    }
    const waits = [...this.#items.values()];
    if (waits.some((item) => item.state === "sending")) this.go();
    else if (waits.some((item) => item.state === "waiting")) this.#due = setTimeout(() => this.go(), PAUSE);
  }

  async #send(item) {
    this.#become(item, "sending");
    const { inbox_id, to, from, body, key } = item;
    try {
      const row = await call("sendMessage", { parts: { inbox_id }, body: { to, body, from }, key });
      this.#items.delete(key);
      this.#store();
      this.dispatchEvent(new CustomEvent("sent", { detail: { item, row } }));
      return true;
    } catch (error) {
      if (error instanceof Refused && (error.passing || error.status === 401)) {
        this.#become(item, "waiting");
        return false;
      }
      item.problem = error.message;
      this.#become(item, "failed");
      return true;
    }
  }

  #become(item, state) {
    item.state = state;
    this.#changed(item);
  }

  #changed(item) {
    this.#store();
    this.dispatchEvent(new CustomEvent("changed", { detail: item }));
  }

  #store() {
    if (this.#items.size) sessionStorage.setItem(KEPT, JSON.stringify([...this.#items.values()]));
    else sessionStorage.removeItem(KEPT);
  }
}

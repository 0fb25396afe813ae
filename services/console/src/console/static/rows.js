/**
 * Every thread and communication that this page knows of, whatever brought it: a list, an answer, the stream.
 *
 * A row with a lower version never replaces one with a higher. Of two with the same version (a name was given, an
 * inbox renamed, a mark set) what a load brings gives way to what the stream brought since that load began: it may
 * have been read before it, and whatever changed after the stream read it will come in the stream again.
 */

/** Compare instants down to microseconds: services write as many digits as an instant has. */
export function instant(iso) {
  const [whole, fraction = ""] = iso.replace(/Z|\+00:00$/, "").split(".");
  return `${whole}.${fraction.padEnd(6, "0")}`;
}

export class Rows extends EventTarget {
  #threads = new Map();
  #communications = new Map();
  #expected = new Map();
  #told = 0;

  /** Where the stream stands; given back with what a load that begins now will bring. */
  now() {
    return this.#told;
  }

  /** @param {object} row @param {number} [since] what `now` said when its load began; nothing for the stream */
  takeThread(row, since) {
    this.takeCommunication(row.latest, since, true);
    return this.#take(this.#threads, row.thread_id, row, since, "thread");
  }

  /** Likewise. What comes inside of a thread makes no event of its own. */
  takeCommunication(row, since, silently = false) {
    return this.#take(this.#communications, row.communication_id, row, since, silently ? null : "communication");
  }

  #take(held, id, row, since, event) {
    const before = held.get(id);
    if (since === undefined) this.#told += 1;
    const older = before && (before.row.version > row.version
      || (before.row.version === row.version && since !== undefined && before.told > since));
    if (older) return before.row;
    held.set(id, { row, told: since === undefined ? this.#told : (before?.told ?? 0) });
    if (event) this.dispatchEvent(new CustomEvent(event, { detail: { row, before: before?.row, live: since === undefined } }));
    return row;
  }

  /** A thread as it is, or as it is expected to become once an answer is there. */
  thread(id) {
    const held = this.#threads.get(id)?.row;
    const expected = this.#expected.get(id);
    return held && expected && expected.version === held.version ? { ...held, ...expected.row } : held;
  }

  communication(id) {
    return this.#communications.get(id)?.row;
  }

  /** Show a thread as it will be. Any newer version ends it, as does the function that is answered. */
  expect(id, row) {
    const held = this.#threads.get(id)?.row;
    if (!held) return () => {};
    const expectation = { version: held.version, row };
    this.#expected.set(id, expectation);
    this.#again(id);
    return () => {
      if (this.#expected.get(id) !== expectation) return;
      this.#expected.delete(id);
      this.#again(id);
    };
  }

  #again(id) {
    this.dispatchEvent(new CustomEvent("thread", { detail: { row: this.thread(id), before: this.thread(id) } }));
  }

  /** Forget a thread, or a whole inbox with all that is in it. */
  forget(inboxId, threadId) {
    const gone = (row) => row.inbox_id === inboxId && (!threadId || row.thread_id === threadId);
    for (const held of [this.#threads, this.#communications]) {
      for (const [id, { row }] of held) if (gone(row)) held.delete(id);
    }
    this.dispatchEvent(new CustomEvent("gone", { detail: { inboxId, threadId } }));
  }

  /** Forget everything: it will be loaded again. */
  clear() {
    this.#threads.clear();
    this.#communications.clear();
    this.#expected.clear();
  }

  threads() {
    return [...this.#threads.keys()].map((id) => this.thread(id));
  }

  communications() {
    return [...this.#communications.values()].map(({ row }) => row);
  }
}

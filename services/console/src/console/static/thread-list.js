/** The list: an inbox's threads, or (unthreaded) its communications, kept in order while things happen. */

import { PATHS, Refused, address, call } from "./api.js";
import { contactName, contactNumber, failedToSend, look, snippet } from "./cards.js";
import { byId, fill, h, icon, moveChild, unseen } from "./dom.js";
import { instant } from "./rows.js";
import { t } from "./text.js";
import { timeElement } from "./times.js";

const PAGE = 50;
const AGAIN_AFTER = 1_500;
const PATIENCE = 3_000;

/** What a list is narrowed to, by its name in the address. */
export const FILTERS = ["unread", "active", "failed", "kind", "line", "team", "q"];

export class ThreadList {
  #app;
  #rows = byId("rows");
  #scroll = byId("list-scroll");
  #waiting = byId("list-waiting");
  #state = byId("list-state");
  #shown = new Map();
  #order = [];
  #cursor = null;
  #edge = null;
  #load = null;
  #again = 0;
  #loadingMore = false;
  #failed = false;
  view = "threaded";

  constructor(app) {
    this.#app = app;
    app.rows.addEventListener("thread", ({ detail }) => this.view === "threaded" && this.#take(detail.row));
    app.rows.addEventListener("communication", ({ detail }) => {
      if (this.view === "unthreaded") this.#take(detail.row);
    });
    app.rows.addEventListener("gone", ({ detail }) => this.#drop(detail));
    new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.#more(), {
      root: this.#scroll,
      rootMargin: "1200px",
    }).observe(byId("list-end"));
  }

  get size() {
    return this.#order.length;
  }

  /** Load the list of the place anew, from its beginning. */
  async load() {
    this.#load?.abort();
    const load = (this.#load = new AbortController());
    clearTimeout(this.#again);
    this.#again = 0;
    this.#scroll.setAttribute("aria-busy", "true");
    this.#waiting.hidden = this.#order.length > 0;
    this.#state.hidden = true;
    this.#failed = false;
    try {
      const since = this.#app.rows.now();
      const page = await this.#page(null, load.signal);
      if (load.signal.aborted) return;
      this.#keep(page, since);
      const ids = new Set(page.items.map((row) => this.#id(row)));
      for (const id of this.#shown.keys()) if (!ids.has(id)) this.#remove(id);
      for (const row of page.items) this.#place(this.#current(row));
      this.#scroll.removeAttribute("aria-busy");
      this.#waiting.hidden = true;
      this.#showState();
    } catch (error) {
      if (load.signal.aborted) return;
      this.#waiting.hidden = true;
      this.#scroll.removeAttribute("aria-busy");
      this.#refused(error);
    }
  }

  /** Empty the list at once: another one is on its way. */
  clear() {
    this.#load?.abort();
    this.#rows.replaceChildren();
    this.#shown.clear();
    this.#order = [];
    this.#cursor = this.#edge = null;
    this.#scroll.scrollTop = 0;
  }

  /** Load the first page again soon: something came whose place only the service knows. */
  #soon(after = AGAIN_AFTER) {
    this.#again ||= setTimeout(() => {
      this.#again = 0;
      this.load();
    }, after);
  }

  #page(cursor, signal) {
    const { inbox, filters } = this.#app.place;
    return call("threads", {
      parts: { inbox_id: inbox },
      query: { view: this.view, ...filters, limit: PAGE, cursor },
      signal,
    });
  }

  #keep(page, since) {
    for (const row of page.items) {
      if (this.view === "threaded") this.#app.rows.takeThread(row, since);
      else this.#app.rows.takeCommunication(row, since);
    }
    this.#cursor = page.next_cursor;
    this.#edge = page.next_cursor ? this.#key(page.items.at(-1)) : null;
  }

  #current(row) {
    const { rows } = this.#app;
    return this.view === "threaded" ? rows.thread(row.thread_id) : rows.communication(row.communication_id);
  }

  async #more() {
    if (!this.#cursor || this.#loadingMore || this.#scroll.hasAttribute("aria-busy")) return;
    this.#loadingMore = true;
    const load = this.#load;
    try {
      const since = this.#app.rows.now();
      const page = await this.#page(this.#cursor, load?.signal);
      if (load?.signal.aborted) return;
      this.#keep(page, since);
      for (const row of page.items) this.#place(this.#current(row));
    } catch (error) {
      if (!load?.signal.aborted && !(error instanceof Refused && error.passing)) this.#app.tell(t("inbox.list.more_failed"));
    } finally {
      this.#loadingMore = false;
    }
    // What was loaded may not have filled the screen.
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    if (this.#cursor && scrollHeight - scrollTop - clientHeight < 1200) setTimeout(() => this.#more());
  }

  #id(row) {
    return this.view === "threaded" ? row.thread_id : row.communication_id;
  }

  /** Where a row stands: active calls first, then the latest activity, ties by id (I4). */
  #key(row) {
    const threaded = this.view === "threaded";
    const active = threaded ? row.active_call : row.active;
    return `${active ? 1 : 0}|${instant(threaded ? row.last_activity_at : row.activity_at)}|${this.#id(row)}`;
  }

  #take(row) {
    const id = this.#id(row);
    const shown = this.#shown.has(id);
    const belongs = this.#belongs(row, shown);
    if (belongs === null) return this.#soon();
    const within = this.#edge === null || this.#key(row) >= this.#edge;
    if (belongs && within) this.#place(row);
    else if (shown) this.#remove(id);
    else return;
    this.#showState();
  }

  /** Whether a row belongs here; null where only the service can tell. */
  #belongs(row, shown) {
    const { inbox, filters, thread } = this.#app.place;
    if (inbox !== "all" && row.inbox_id !== inbox) return false;
    const threaded = this.view === "threaded";
    const latest = threaded ? row.latest : row;
    const is = (filter, fact) => filter === undefined || fact;
    // What one is at work on does not vanish under his hands once it is read.
    const open = shown && thread === row.thread_id;
    if (!is(filters.unread, open || (threaded ? row.unread > 0 : row.unread))) return false;
    if (!is(filters.active, threaded ? row.active_call : row.active)) return false;
    if (!is(filters.failed, threaded ? row.send_failed : failedToSend(row))) return false;
    const among = is(filters.kind, latest.kind === filters.kind) && is(filters.line, latest.line_number === filters.line);
    if (!among && !threaded) return false;
    if (!among || filters.q || filters.team) return shown || null;
    return true;
  }

  #place(row) {
    const id = this.#id(row);
    const key = this.#key(row);
    let entry = this.#shown.get(id);
    if (!entry) {
      entry = { id, key: null, element: this.#made(row) };
      this.#shown.set(id, entry);
    }
    this.#draw(entry.element, row);
    if (entry.key === key) return;
    if (entry.key !== null) this.#order.splice(this.#find(entry.key), 1);
    entry.key = key;
    const at = this.#find(key);
    this.#order.splice(at, 0, entry);
    moveChild(this.#rows, entry.element, this.#order[at + 1]?.element ?? null);
  }

  /** The first place whose key is not above this one: keys fall. */
  #find(key) {
    let [low, high] = [0, this.#order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#order[middle].key > key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #remove(id) {
    const entry = this.#shown.get(id);
    if (!entry) return;
    this.#shown.delete(id);
    this.#order.splice(this.#find(entry.key), 1);
    if (entry.element.contains(document.activeElement)) {
      const next = entry.element.nextElementSibling ?? entry.element.previousElementSibling;
      next?.querySelector("a")?.focus();
    }
    entry.element.remove();
  }

  #drop({ inboxId, threadId }) {
    const { rows, place } = this.#app;
    for (const id of this.#shown.keys()) {
      const there = this.view === "threaded" ? rows.thread(id) : rows.communication(id);
      if (!there) this.#remove(id);
    }
    if (!threadId && inboxId === place.inbox) this.#refused(new Refused(404, ""));
    else this.#showState();
  }

  #made(row) {
    const link = h("a", { class: "row-link" });
    const read = h(
      "button",
      { class: "quiet row-read", on: { click: () => this.#app.markRead(row.thread_id) } },
      icon("check"),
    );
    return h("li", { class: "row" }, link, read);
  }

  #draw(element, row) {
    const [link, read] = element.children;
    const { inbox, thread } = this.#app.place;
    const threaded = this.view === "threaded";
    const latest = threaded ? row.latest : row;
    const unread = threaded ? row.unread : Number(row.unread);
    const active = threaded ? row.active_call : row.active;
    const failed = threaded ? row.send_failed : failedToSend(row);
    const [symbol, tone] = look(active && !latest.active ? { ...latest, kind: "call", active: true } : latest);
    const who = contactName(row);
    const here = thread === row.thread_id && (threaded || this.#app.place.communication === row.communication_id);
    element.className = `row${unread ? " unread" : ""}${active ? " active" : ""}`;
    link.href = this.#app.hrefOf(row, threaded ? null : row.communication_id);
    if (here) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    fill(
      link,
      h("span", { class: `row-icon ${tone}` }, icon(symbol)),
      h(
        "span",
        { class: "row-top" },
        h("span", { class: "row-who", dir: "auto", title: contactNumber(row.contact_number) }, who),
        active && unseen(`, ${t("inbox.list.active_call")}`),
        timeElement(threaded ? row.last_activity_at : row.activity_at),
      ),
      h(
        "span",
        { class: "row-bottom" },
        h("span", { class: "row-snippet", dir: "auto" }, snippet(latest, this.#app)),
        failed && h("span", { class: "flag" }, icon("warning"), unseen(t("inbox.list.send_failed"))),
        unread > 0 && threaded && h("span", { class: "badge" }, String(unread), unseen(` ${t("inbox.message.unread")}`)),
        unread > 0 && !threaded && h("span", { class: "dot" }, unseen(t("inbox.message.unread"))),
      ),
      inbox === "all" && h("span", { class: "row-inbox", dir: "auto" }, row.inbox_name),
    );
    read.hidden = !unread || active || !threaded || !this.#app.panel.mayAct(row.inbox_id);
    read.title = t("inbox.conversation.read");
    if (!read.hidden) fill(read, icon("check"), unseen(t("inbox.list.read", { who })));
  }

  /** Draw every row again: names have come, another row is open, or who may act has changed. */
  redraw() {
    if (this.#load && !this.#failed && !this.#scroll.hasAttribute("aria-busy")) this.#showState();
    const { rows } = this.#app;
    for (const { id, element } of this.#order) {
      const row = this.view === "threaded" ? rows.thread(id) : rows.communication(id);
      if (row) this.#draw(element, row);
    }
  }

  #showState() {
    this.#state.hidden = this.#order.length > 0;
    if (this.#order.length) return;
    const narrowed = Object.keys(this.#app.place.filters).length > 0;
    const none = this.#app.panel.known && !this.#app.panel.items.length;
    const what = none ? "panel.none" : narrowed ? "list.no_match" : "list.empty";
    fill(this.#state, h("h2", {}, t(`inbox.${what}`)), h("p", {}, t(`inbox.${what}_hint`)));
  }

  #refused(error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) return;
    if (error.passing) this.#soon(PATIENCE);
    if (this.#order.length && error.passing) return;
    this.#failed = true;
    const gone = error.status === 404 || error.status === 403;
    this.#state.hidden = false;
    if (gone) {
      this.clear();
      fill(this.#state, h("h2", {}, t("inbox.list.no_access")), h("p", {}, t("inbox.list.no_access_hint")));
      return;
    }
    fill(
      this.#state,
      h("h2", {}, t("inbox.list.failed")),
      error.message && h("p", {}, error.message),
      h("button", { on: { click: () => this.load() } }, t("inbox.again")),
    );
  }

  /** Move the focus through the list, by so many rows. */
  step(by) {
    const links = this.#order.map((entry) => entry.element.firstElementChild);
    if (!links.length) return;
    let at = links.findIndex((link) => link === document.activeElement);
    if (at < 0) at = links.findIndex((link) => link.hasAttribute("aria-current"));
    const next = links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + by))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }

  /** Put the focus on the row of a thread, or on the first one. */
  focus(threadId) {
    const link = this.#shown.get(threadId)?.element.firstElementChild ?? this.#order[0]?.element.firstElementChild;
    link?.focus();
  }

  /** Save the whole unthreaded list, as narrowed, as a file. */
  async save() {
    const { inbox, filters } = this.#app.place;
    const [, path] = PATHS.threads.split(" ");
    const answer = await fetch(address(path, { inbox_id: inbox }, { ...filters, view: "unthreaded" }), {
      headers: { accept: "text/csv" },
    });
    if (!answer.ok || !answer.headers.get("content-type")?.startsWith("text/csv")) throw new Refused(answer.status, "");
    const file = URL.createObjectURL(await answer.blob());
    h("a", { href: file, download: `${inbox}.csv` }).click();
    URL.revokeObjectURL(file);
  }
}

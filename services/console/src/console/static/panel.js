/** The panel: every inbox that one has, with what waits in it. */

import { call } from "./api.js";
import { byId, fill, h, icon, unseen } from "./dom.js";
import { t } from "./text.js";

const QUIET = 250;
const AT_MOST_EVERY = 4_000;
const GROUPS = ["personal", "connected", "watching", "admin"];
const ICONS = { personal: "person", connected: "inbox", watching: "eye", admin: "eye" };

/** Which inboxes there are and what one may do in them, whatever waits there. */
function rightsIn(items) {
  return items.map((item) => `${item.inbox_id} ${item.access} ${item.name}`).join("\n");
}

export class Panel extends EventTarget {
  #app;
  #element = byId("panel");
  #loadedAt = 0;
  #due = 0;
  #step = 0;
  #answered = 0;
  #countedIn = new Map();
  #read = new Set();
  items = [];
  /** Whether the services have said which inboxes there are. */
  known = false;

  constructor(app) {
    super();
    this.#app = app;
    app.rows.addEventListener("thread", ({ detail }) => this.#count(detail));
    app.rows.addEventListener("gone", () => this.refresh());
  }

  inbox(id) {
    return this.items.find((item) => item.inbox_id === id);
  }

  /** Whether one may reply, call and mark in an inbox. The services decide it; this only hides what would be refused. */
  mayAct(id) {
    const access = this.inbox(id)?.access;
    return access === "personal" || access === "connected";
  }

  get unread() {
    return this.items.reduce((sum, item) => sum + this.unreadOf(item), 0);
  }

  unreadOf(item) {
    return this.#read.has(item.inbox_id) ? 0 : item.unread;
  }

  /** Show an inbox as read until the function that is answered is called. */
  expectRead(id) {
    this.#read.add(id);
    this.show();
    return () => {
      this.#read.delete(id);
      this.show();
    };
  }

  /**
   * Ask for the counts. Where the stream counted an inbox meanwhile, its count stays: the answer may have been read
   * before that, and would bring back for seconds what somebody has just done away with.
   */
  async load() {
    clearTimeout(this.#due);
    this.#due = 0;
    this.#loadedAt = Date.now();
    const load = (this.#step += 1);
    const { items } = await call("panel");
    if (load < this.#answered) return;
    this.#answered = load;
    for (const item of items) {
      const held = this.inbox(item.inbox_id);
      if (!held || (this.#countedIn.get(item.inbox_id) ?? 0) < load) continue;
      item.unread = held.unread;
      item.active_calls = held.active_calls;
    }
    const others = rightsIn(items) !== rightsIn(this.items) || !this.known;
    this.items = items;
    this.known = true;
    this.show();
    if (others) this.dispatchEvent(new Event("changed"));
  }

  /** Ask for the counts soon: at once when it is quiet, else every few seconds, however much comes in. */
  refresh() {
    if (this.#due) return;
    const wait = Math.max(QUIET, this.#loadedAt + AT_MOST_EVERY * (0.75 + Math.random() / 2) - Date.now());
    const quiet = Date.now() - this.#loadedAt > AT_MOST_EVERY;
    this.#due = setTimeout(() => this.load().catch(() => {}), quiet ? QUIET : wait);
  }

  #count({ row, before, live }) {
    const item = this.inbox(row.inbox_id);
    const changed = before && (row.unread !== before.unread || row.active_call !== before.active_call);
    if (item && changed) {
      this.#countedIn.set(row.inbox_id, (this.#step += 1));
      item.unread = Math.max(0, item.unread + row.unread - before.unread);
      item.active_calls = Math.max(0, item.active_calls + Number(row.active_call) - Number(before.active_call));
      this.show();
    }
    // A thread that comes in and was not known here may be new, or old with any count of its own.
    if (changed || (!before && live)) this.refresh();
  }

  show() {
    const focused = this.#element.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const total = { unread: this.unread, active_calls: this.items.reduce((sum, item) => sum + item.active_calls, 0) };
    const groups = GROUPS.map((access) => [access, this.items.filter((item) => item.access === access)]);
    fill(
      this.#element,
      h("ul", {}, this.#entry("all", t("inbox.panel.all"), "all", total.unread, total.active_calls)),
      groups
        .filter(([, items]) => items.length)
        .map(([access, items]) => [
          h("h2", { id: `panel-${access}` }, t(`inbox.panel.${access}`)),
          h(
            "ul",
            { "aria-labelledby": `panel-${access}` },
            items.map((item) =>
              this.#entry(item.inbox_id, item.name, ICONS[access], this.unreadOf(item), item.active_calls),
            ),
          ),
        ]),
    );
    if (focused) this.#element.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    this.dispatchEvent(new Event("counted"));
  }

  #entry(id, name, symbol, unread, active) {
    const here = this.#app.place.inbox === id;
    return h(
      "li",
      {},
      h(
        "a",
        { href: `/inboxes/${encodeURIComponent(id)}`, "aria-current": here ? "page" : null, data: { inbox: id } },
        icon(symbol),
        h("span", { class: "name", dir: "auto" }, name),
        active > 0 && h("span", { class: "calls" }, icon("phone"), String(active), unseen(` ${t("inbox.panel.active", { count: active }).replace(String(active), "").trim()}`)),
        unread > 0 && h("span", { class: "badge" }, String(unread), unseen(` ${t("inbox.panel.unread", { count: unread }).replace(String(unread), "").trim()}`)),
      ),
    );
  }
}

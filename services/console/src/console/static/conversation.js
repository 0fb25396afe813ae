/** One thread: its calls and texts, oldest first, and what one can do with it. */

import { Refused, call } from "./api.js";
import { card, contactName, contactNumber } from "./cards.js";
import { composer, whyNot } from "./composer.js";
import { byId, fill, h, icon, moveChild, unseen } from "./dom.js";
import { instant } from "./rows.js";
import { t } from "./text.js";
import { clockTime, dayHeading, dayOf, timeElement } from "./times.js";

const PAGE = 50;
const NEAR_BOTTOM = 120;
const PATIENCE = 3_000;

export class Conversation {
  #app;
  #element = byId("conversation");
  #id = null;
  #order = [];
  #shown = new Map();
  #cursor = null;
  #load = null;
  #divider = null;
  #parts = null;
  #matched = new Set();
  #loadingEarlier = false;

  constructor(app) {
    this.#app = app;
    app.rows.addEventListener("communication", ({ detail }) => this.#take(detail));
    app.rows.addEventListener("thread", ({ detail }) => detail.row.thread_id === this.#id && this.#head());
    app.rows.addEventListener("gone", ({ detail }) => this.#gone(detail));
    app.sending.addEventListener("changed", ({ detail }) => this.#concerns(detail) && this.#pending());
    app.sending.addEventListener("sent", ({ detail }) => {
      app.rows.takeCommunication(detail.row, 0);
      if (this.#concerns(detail.item)) this.#pending();
    });
  }

  get thread() {
    return this.#id ? this.#app.rows.thread(this.#id) : undefined;
  }

  #concerns(item) {
    const { thread } = this;
    return thread && item.inbox_id === thread.inbox_id && item.to === thread.contact_number;
  }

  /** Show a thread; with a communication, from that one on. */
  async open(id, communicationId) {
    if (id === this.#id && this.#parts) {
      this.#reveal(communicationId);
      return;
    }
    this.close(false);
    this.#id = id;
    const load = (this.#load = new AbortController());
    fill(this.#element, h("p", { class: "empty" }, t("inbox.loading")));
    try {
      await this.#fetch(load);
      if (load.signal.aborted) return;
      this.#build();
      this.#reveal(communicationId);
    } catch (error) {
      if (load.signal.aborted) return;
      if (!(error instanceof Refused)) throw error;
      this.#refused(error);
    }
  }

  /** Load what is shown once more: something may have been missed. */
  async reload() {
    if (!this.#id) return;
    if (!this.#parts) return void this.open(this.#id);
    const load = (this.#load = new AbortController());
    try {
      await this.#fetch(load);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (!load.signal.aborted && !error.passing) this.#refused(error);
    }
  }

  async #fetch(load) {
    const { rows } = this.#app;
    const parts = { thread_id: this.#id };
    const since = rows.now();
    const given = { parts, signal: load.signal };
    const [thread, page] = await Promise.all([
      call("thread", given),
      call("communications", { ...given, query: { limit: PAGE } }),
    ]);
    if (load.signal.aborted) return;
    if (!this.#parts) this.#cursor = page.next_cursor;
    rows.takeThread(thread, since);
    for (const row of page.items) rows.takeCommunication(row, since);
    if (this.#parts) for (const row of page.items) this.#place(rows.communication(row.communication_id));
    else this.#first = page.items;
  }

  #first = [];

  /** Leave the thread. */
  close(empty = true) {
    this.#load?.abort();
    this.#id = null;
    this.#order = [];
    this.#shown.clear();
    this.#cursor = this.#divider = this.#parts = null;
    if (empty) this.#say("none");
  }

  #say(what, ...more) {
    fill(
      this.#element,
      h(
        "div",
        { class: "empty" },
        icon("message", "large"),
        h("h2", {}, t(`inbox.conversation.${what}`)),
        what === "failed" ? null : h("p", {}, t(`inbox.conversation.${what}_hint`)),
        ...more,
      ),
    );
  }

  #refused(error) {
    this.#parts = null;
    const back = h("button", { class: "only-narrow", on: { click: () => this.#app.back() } }, t("inbox.conversation.back"));
    if (error.status === 404 || error.status === 403) this.#say("gone", back);
    else {
      const id = this.#id;
      setTimeout(() => this.#id === id && !this.#parts && this.open(id), PATIENCE);
      this.#say("failed", h("button", { on: { click: () => this.open(this.#id) } }, t("inbox.again")), back);
    }
  }

  #gone({ inboxId, threadId }) {
    if (!this.#id || !this.#parts) return;
    if (threadId === this.#id || (!threadId && this.#parts.inbox === inboxId)) this.#refused(new Refused(404, ""));
  }

  #build() {
    const head = h("header", { class: "conversation-top" });
    const list = h("ol", { class: "timeline", "aria-label": t("inbox.conversation.timeline") });
    const pending = h("ol", { class: "timeline pending" });
    const top = h("div", { class: "timeline-top" });
    const below = h("button", { class: "below", hidden: true, on: { click: () => this.#toBottom() } }, t("inbox.conversation.new_below"));
    const scroll = h("div", { class: "timeline-scroll", tabindex: "0", role: "region", "aria-label": t("inbox.conversation.timeline") }, top, list, pending);
    const foot = h("footer", { class: "conversation-foot" });
    this.#parts = { head, list, pending, top, below, scroll, foot, inbox: this.thread.inbox_id };
    fill(this.#element, head, scroll, below, foot);
    for (const row of this.#first) this.#place(this.#app.rows.communication(row.communication_id));
    this.#first = [];
    this.#head();
    this.#top();
    this.#divide();
    this.#pending();
    this.#foot();
    scroll.addEventListener("scroll", () => {
      if (this.#nearBottom()) below.hidden = true;
      if (scroll.scrollTop < 300) this.#earlier();
    }, { passive: true });
  }

  /** Draw what depends on names, lines and rights again. */
  redraw() {
    if (!this.#parts) return;
    this.#head();
    for (const entry of this.#order) this.#draw(entry, this.#app.rows.communication(entry.id), true);
    if (!this.#parts.foot.contains(document.activeElement)) this.#foot();
  }

  #foot() {
    const { thread } = this;
    if (!thread) return;
    fill(
      this.#parts.foot,
      composer(this.#app, thread, (body, from) => {
        this.#app.sending.text({ inbox_id: thread.inbox_id, to: thread.contact_number, from, body });
        this.#toBottom();
      }),
    );
  }

  #head() {
    const { thread } = this;
    if (!thread || !this.#parts) return;
    const { head } = this.#parts;
    if (head.querySelector("form")) return;
    const app = this.#app;
    const act = app.panel.mayAct(thread.inbox_id);
    const name = contactName(thread);
    const focused = head.contains(document.activeElement) ? document.activeElement.className : null;
    const nameable = (act || app.isAdmin) && thread.contact_number !== "anonymous";
    fill(
      head,
      h("button", { class: "quiet icon-only only-narrow back", on: { click: () => app.back() } }, icon("back"), unseen(t("inbox.conversation.back"))),
      h(
        "div",
        { class: "conversation-who" },
        h(
          "div",
          { class: "conversation-name" },
          h("h2", { tabindex: "-1", dir: "auto" }, name),
          nameable && h("button", { class: "quiet icon-only rename", title: t("inbox.conversation.name"), on: { click: () => this.rename() } }, icon("pencil"), unseen(t("inbox.conversation.name"))),
        ),
        h(
          "p",
          { class: "hint" },
          thread.contact_name && h("span", {}, h("bdi", {}, contactNumber(thread.contact_number)), " "),
          h("span", { dir: "auto" }, t("inbox.conversation.in", { inbox: thread.inbox_name })),
        ),
      ),
      act && thread.unread > 0 && h("button", { class: "read-thread", on: { click: () => this.markRead() } }, icon("check"), t("inbox.conversation.read")),
      act && whyNot(app, thread) === null && h("button", { class: "call-contact primary", on: { click: () => this.call() } }, icon("phone"), t("inbox.conversation.call")),
    );
    if (focused) head.querySelector(`.${CSS.escape(focused.split(" ").at(-1))}`)?.focus();
    this.#parts.foot.parentElement?.querySelector(".send-failed")?.remove();
    if (thread.send_failed) {
      this.#parts.scroll.after(h("p", { class: "send-failed notice bad" }, icon("warning"), t("inbox.conversation.send_failed")));
    }
  }

  /** Change the contact's name where it stands. */
  rename() {
    const { thread } = this;
    const place = this.#parts?.head.querySelector(".conversation-name");
    if (!thread || !place || !place.querySelector(".rename")) return;
    const label = t("inbox.conversation.name_of", { number: contactNumber(thread.contact_number) });
    const input = h("input", { "aria-label": label, maxlength: 200, required: true, dir: "auto", value: thread.contact_name ?? "" });
    const leave = () => {
      form.remove();
      this.#head();
      this.#parts.head.querySelector(".rename")?.focus();
    };
    const form = h(
      "form",
      {
        class: "inline",
        on: {
          submit: (event) => {
            event.preventDefault();
            const name = input.value.trim();
            leave();
            if (name && name !== thread.contact_name) this.#app.nameContact(thread, name);
          },
          keydown: (event) => {
            if (event.key !== "Escape") return;
            event.stopPropagation();
            leave();
          },
        },
      },
      input,
      h("button", { class: "primary" }, t("inbox.conversation.name_save")),
      h("button", { type: "button", class: "quiet", on: { click: leave } }, t("inbox.cancel")),
    );
    fill(place, form);
    input.focus();
    input.select();
  }

  /** Call the contact from the line that the composer shows. */
  call() {
    const { thread } = this;
    if (!thread || whyNot(this.#app, thread) !== null) return;
    const line = this.#parts.foot.querySelector(".line");
    this.#app.placeCall(thread.inbox_id, thread.contact_number, line ? (line.value ?? line.dataset.line) : undefined);
  }

  /** Mark read through what was on screen: what came below it, unseen, stays unread (I11). */
  markRead() {
    const { thread } = this;
    if (!thread || !thread.unread || !this.#app.panel.mayAct(thread.inbox_id)) return;
    const end = this.#parts.scroll.getBoundingClientRect().bottom;
    const seen = this.#order.filter(({ element }) => element.getBoundingClientRect().top < end);
    const rows = seen.map(({ id }) => this.#app.rows.communication(id));
    this.#app.markRead(this.#id, newest(rows)?.communication_id);
  }

  /** Mark unread from the latest one that was received on. */
  markUnread() {
    const last = this.#order.map(({ id }) => this.#app.rows.communication(id)).findLast((row) => row.direction === "inbound" && !row.active);
    if (last) this.#app.markUnread(last);
  }

  /** Put the cursor where a reply is written. */
  reply() {
    this.#parts?.foot.querySelector("textarea")?.focus();
  }

  focus() {
    this.#parts?.head.querySelector("h2")?.focus();
  }

  #take({ row, before }) {
    if (!this.#parts) return;
    if (before && before.thread_id === this.#id && row.thread_id !== this.#id) return this.#remove(row.communication_id);
    if (row.thread_id !== this.#id) return;
    const known = this.#shown.has(row.communication_id);
    // Older than what is loaded: it comes with its page.
    const oldest = this.#order[0];
    if (!known && this.#cursor && oldest && this.#key(row) < oldest.key) return;
    const stays = this.#nearBottom();
    if (!known && row.direction === "outbound" && row.user_id === this.#app.me?.user_id) this.#match(row);
    this.#place(row);
    if (known) return;
    if (stays) this.#toBottom();
    else this.#parts.below.hidden = false;
  }

  /** The stream may be quicker than the answer: what was sent is not to be shown twice. */
  #match(row) {
    const { thread } = this;
    const sent = this.#app.sending
      .of(thread.inbox_id, thread.contact_number)
      .find((item) => item.body === row.body && item.state === "sending" && !this.#matched.has(item.key));
    if (!sent) return;
    this.#matched.add(sent.key);
    this.#pending();
  }

  #key(row) {
    return `${row.active ? 1 : 0}|${instant(row.activity_at)}|${row.communication_id}`;
  }

  #place(row) {
    if (!row || row.thread_id !== this.#id) return;
    const key = this.#key(row);
    let entry = this.#shown.get(row.communication_id);
    if (!entry) {
      entry = { id: row.communication_id, key: null, row: null, element: h("li", { data: { id: row.communication_id } }) };
      this.#shown.set(entry.id, entry);
    }
    this.#draw(entry, row);
    if (entry.key === key) return;
    if (entry.key !== null) this.#order.splice(this.#find(entry.key), 1);
    entry.key = key;
    const at = this.#find(key);
    this.#order.splice(at, 0, entry);
    const next = this.#order[at + 1];
    moveChild(this.#parts.list, entry.element, next?.element ?? null);
    this.#days(at);
  }

  /** A heading stands over the first of each day. */
  #days(at) {
    for (const index of [at, at + 1]) {
      const entry = this.#order[index];
      if (!entry) continue;
      const row = this.#app.rows.communication(entry.id);
      const before = this.#order[index - 1];
      const first = !before || dayOf(this.#app.rows.communication(before.id).activity_at) !== dayOf(row.activity_at);
      entry.element.querySelector(":scope > .day")?.remove();
      if (first) entry.element.prepend(h("p", { class: "day" }, timeElement(row.activity_at, dayHeading)));
    }
  }

  #find(key) {
    let [low, high] = [0, this.#order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#order[middle].key < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #draw(entry, row, anyway = false) {
    if (!row || (!anyway && entry.row && same(entry.row, row))) return;
    entry.row = row;
    const slot = entry.element.querySelector(":scope > .slot");
    const drawn = h("div", { class: "slot" }, card(row, this.#app, this.#actsOn(row)));
    if (!slot) {
      entry.element.append(drawn);
      return;
    }
    // What was opened stays open, and a recording that is being listened to goes on.
    const opened = [...slot.querySelectorAll("details")].map((one) => one.open);
    drawn.querySelectorAll("details").forEach((one, index) => (one.open = opened[index] ?? false));
    const [old, fresh] = [slot.querySelector("audio"), drawn.querySelector("audio")];
    if (old && fresh && old.src === fresh.src) fresh.parentElement.replaceWith(old.parentElement);
    slot.replaceWith(drawn);
  }

  #actsOn(row) {
    if (!this.#app.panel.mayAct(row.inbox_id)) return null;
    return {
      unreadFrom: (one) => this.#app.markUnread(one),
      sendAgain: (one) =>
        this.#app.sending.text({ inbox_id: one.inbox_id, to: one.contact_number, from: one.line_number, body: one.body }),
    };
  }

  #remove(id) {
    const entry = this.#shown.get(id);
    if (!entry) return;
    this.#shown.delete(id);
    const at = this.#find(entry.key);
    this.#order.splice(at, 1);
    entry.element.remove();
    this.#days(at);
  }

  /** What is on its way, below everything. */
  #pending() {
    const { thread } = this;
    if (!thread || !this.#parts) return;
    const items = this.#app.sending.of(thread.inbox_id, thread.contact_number).filter((item) => !this.#matched.has(item.key));
    fill(this.#parts.pending, items.map((item) => h("li", {}, this.#waiting(item))));
    this.#parts.pending.hidden = !items.length;
    if (items.length) this.#toBottom();
  }

  #waiting(item) {
    const { sending } = this.#app;
    const failed = item.state === "failed";
    const state = failed ? `${t("inbox.message.failed")}${item.problem ? `: ${item.problem}` : ""}` : t(`inbox.message.${item.state}`);
    return h(
      "div",
      { class: `bubble out ${failed ? "failed" : "on-its-way"}` },
      h("p", { class: "body", dir: "auto" }, item.body),
      h("p", { class: "about" }, timeElement(item.at, clockTime), h("span", { class: failed ? "state bad" : "state" }, icon(failed ? "warning" : "clock"), state)),
      failed && h("p", { class: "inline" },
        h("button", { class: "quiet", on: { click: () => sending.retry(item.key) } }, t("inbox.again")),
        h("button", { class: "quiet", on: { click: () => sending.discard(item.key) } }, t("inbox.message.discard")),
      ),
    );
  }

  #divide() {
    const first = this.#order.find(({ id }) => this.#app.rows.communication(id).unread);
    this.#divider?.remove();
    if (!first) return;
    this.#divider = h("p", { class: "divider" }, h("span", {}, t("inbox.conversation.unread_from_here")));
    first.element.prepend(this.#divider);
  }

  #top() {
    const { top } = this.#parts;
    if (this.#cursor) fill(top, h("button", { class: "quiet", on: { click: () => this.#earlier() } }, t("inbox.conversation.earlier")));
    else fill(top, h("p", { class: "hint" }, t("inbox.conversation.beginning")));
  }

  async #earlier() {
    if (!this.#cursor || this.#loadingEarlier) return;
    this.#loadingEarlier = true;
    const load = this.#load;
    try {
      const { rows } = this.#app;
      const since = rows.now();
      const page = await call("communications", { parts: { thread_id: this.#id }, query: { limit: PAGE, cursor: this.#cursor }, signal: load.signal });
      if (load.signal.aborted) return;
      const { scroll } = this.#parts;
      const fromEnd = scroll.scrollHeight - scroll.scrollTop;
      this.#cursor = page.next_cursor;
      for (const row of page.items) {
        rows.takeCommunication(row, since, true);
        this.#place(rows.communication(row.communication_id));
      }
      this.#top();
      scroll.scrollTop = scroll.scrollHeight - fromEnd;
    } catch (error) {
      if (!load.signal.aborted) this.#app.failed(error);
    } finally {
      this.#loadingEarlier = false;
    }
  }

  #nearBottom() {
    const { scroll } = this.#parts;
    return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_BOTTOM;
  }

  #toBottom() {
    const { scroll } = this.#parts;
    scroll.scrollTop = scroll.scrollHeight;
    this.#parts.below.hidden = true;
  }

  #reveal(communicationId) {
    const named = communicationId && this.#shown.get(communicationId);
    if (named) {
      named.element.scrollIntoView({ block: "center" });
      return;
    }
    const { scroll } = this.#parts;
    scroll.scrollTop = scroll.scrollHeight;
    // Everything unread at once where it fits, else from its beginning.
    if (this.#divider && this.#divider.offsetTop < scroll.scrollTop) this.#divider.scrollIntoView({ block: "start" });
  }
}

/** The one that reached us last: read marks go by that (I11). */
export function newest(rows) {
  const key = (row) => `${instant(row.received_at)}|${row.communication_id}`;
  return rows.reduce((last, row) => (last && key(last) >= key(row) ? last : row), null);
}

function same(one, other) {
  return one.version === other.version && one.unread === other.unread && one.active === other.active && one.contact_name === other.contact_name;
}

/** The inbox screen, put together: where one is, what is known, what is done. */

import { Refused, all, call } from "./api.js";
import * as alerts from "./alerts.js";
import { contactName } from "./cards.js";
import { chosenLine, counter, lineChoice, lineFor } from "./composer.js";
import { Conversation, newest } from "./conversation.js";
import { byId, fill, h } from "./dom.js";
import * as keyboard from "./keyboard.js";
import { Live } from "./live.js";
import { Panel } from "./panel.js";
import { Rows } from "./rows.js";
import { Sending } from "./sending.js";
import { t } from "./text.js";
import { FILTERS, ThreadList } from "./thread-list.js";
import { readIn, runClocks } from "./times.js";

const UNDO_FOR = 5_000;
const OPENS_WITHIN = 1_500;
const TYPED = 250;

let known = () => {};

/** What the parts of the screen know of each other. */
const app = {
  rows: new Rows(),
  live: new Live(),
  sending: new Sending(),
  me: null,
  people: new Map(),
  lines: null,
  /** Settled once inboxes, people and lines are known. */
  known: new Promise((settle) => (known = settle)),
  place: placeOf(location),

  get isAdmin() {
    return this.me?.role === "admin";
  },
  nameOf(userId) {
    return this.people.get(userId) ?? userId;
  },
  linesOf(inboxId) {
    return (this.lines ?? []).filter((line) => line.inbox_id === inboxId);
  },
  hrefOf(row, communicationId = null) {
    const query = queryOf(this.place.filters);
    const anchor = communicationId ? `#${encodeURIComponent(communicationId)}` : "";
    return `/inboxes/${encodeURIComponent(this.place.inbox)}/threads/${encodeURIComponent(row.thread_id)}${query}${anchor}`;
  },
  tell: alerts.alertOf,
  failed(error) {
    if (error instanceof Refused && error.status === 401) return over();
    if (!(error instanceof Refused)) throw error;
    alerts.alertOf(alerts.sentenceOf(error));
  },
  back,
  markRead,
  markUnread,
  nameContact,
  placeCall,
};
app.panel = new Panel(app);
app.list = new ThreadList(app);
app.conversation = new Conversation(app);

/* Where one is */

function placeOf({ pathname, search, hash }) {
  const [, , inbox = "all", , thread] = pathname.split("/").map(decodeURIComponent);
  const query = new URLSearchParams(search);
  const filters = Object.fromEntries(FILTERS.filter((name) => query.get(name)).map((name) => [name, query.get(name)]));
  return { inbox, thread: thread ?? null, communication: hash ? decodeURIComponent(hash.slice(1)) : null, filters };
}

function queryOf(filters) {
  const given = new URLSearchParams(filters).toString();
  return given ? `?${given}` : "";
}

function go(href, { replace = false } = {}) {
  if (href !== location.pathname + location.search + location.hash) {
    history[replace ? "replaceState" : "pushState"](null, "", href);
  }
  arrive();
}

function hrefOfInbox(inbox, filters = {}) {
  return `/inboxes/${encodeURIComponent(inbox)}${queryOf(filters)}`;
}

function arrive() {
  const was = app.place;
  app.place = placeOf(location);
  const { inbox, thread, communication, filters } = app.place;
  byId("inbox").dataset.pane = thread ? "conversation" : "list";
  if (was.inbox !== inbox || queryOf(was.filters) !== queryOf(filters)) {
    if (was.inbox !== inbox) app.list.clear();
    app.list.load();
    showTools();
  } else app.list.redraw();
  app.panel.show();
  if (thread) app.conversation.open(thread, communication);
  else app.conversation.close();
}

function narrow() {
  return matchMedia("(max-width: 48rem)").matches;
}

/** Back to the list, and in it to where one was. */
function back() {
  const { thread, inbox, filters } = app.place;
  go(hrefOfInbox(inbox, filters));
  app.list.focus(thread);
}

function filter(changes) {
  const filters = { ...app.place.filters, ...changes };
  for (const [name, value] of Object.entries(filters)) if (!value) delete filters[name];
  const { thread, inbox } = app.place;
  const path = thread ? location.pathname : hrefOfInbox(inbox);
  go(path + queryOf(filters), { replace: true });
}

/* What is done */

async function markRead(threadId, through) {
  const { rows } = app;
  const thread = rows.thread(threadId);
  if (!thread?.unread) return;
  const known = rows.communications().filter((row) => row.thread_id === threadId);
  const seen = through ?? newest(known)?.communication_id ?? thread.latest.communication_id;
  const settle = rows.expect(threadId, { unread: 0 });
  const since = rows.now();
  try {
    rows.takeThread(await call("readThread", { parts: { thread_id: threadId }, body: { through: seen } }), since);
  } catch (error) {
    app.failed(error);
  } finally {
    settle();
  }
}

async function markUnread(row) {
  const { rows } = app;
  const since = rows.now();
  const settle = rows.expect(row.thread_id, { unread: Math.max(1, rows.thread(row.thread_id)?.unread ?? 0) });
  try {
    const parts = { thread_id: row.thread_id };
    rows.takeThread(await call("unreadThread", { parts, body: { from: row.communication_id } }), since);
  } catch (error) {
    app.failed(error);
  } finally {
    settle();
  }
}

async function readInbox() {
  const { inbox: id } = app.place;
  const inbox = app.panel.inbox(id);
  if (!inbox || !app.panel.mayAct(id)) return;
  const settles = app.rows
    .threads()
    .filter((thread) => thread.inbox_id === id && thread.unread)
    .map((thread) => app.rows.expect(thread.thread_id, { unread: 0 }));
  settles.push(app.panel.expectRead(id));
  showTools();
  try {
    if (await alerts.undoable(t("inbox.alerts.read_inbox", { inbox: inbox.name }), UNDO_FOR)) {
      await call("readInbox", { parts: { inbox_id: id }, keepalive: true });
      await app.list.load();
      await app.panel.load();
    }
  } catch (error) {
    app.failed(error);
  } finally {
    for (const settle of settles) settle();
    showTools();
  }
}

async function nameContact(thread, name) {
  const settle = app.rows.expect(thread.thread_id, { contact_name: name });
  try {
    await call("nameContact", { parts: { number: thread.contact_number }, body: { name } });
    const since = app.rows.now();
    app.rows.takeThread(await call("thread", { parts: { thread_id: thread.thread_id } }), since);
    alerts.announce(t("inbox.alerts.named"));
  } catch (error) {
    app.failed(error);
  } finally {
    settle();
  }
}

async function placeCall(inboxId, to, from) {
  if (!navigator.onLine) return app.tell(t("inbox.composer.calls_need_line"));
  try {
    const row = await call("placeCall", { parts: { inbox_id: inboxId }, body: { to, from }, key: crypto.randomUUID() });
    app.rows.takeCommunication(row, 0);
    alerts.announce(t("inbox.alerts.placing", { who: contactName(row) }));
    return row;
  } catch (error) {
    app.failed(error);
    return null;
  }
}

/* A new text or call */

async function compose() {
  await app.known;
  const dialog = byId("compose");
  const inboxes = app.panel.items.filter((item) => app.panel.mayAct(item.inbox_id) && app.linesOf(item.inbox_id).length);
  if (!inboxes.length) return app.tell(t("inbox.composer.no_line"));
  const lines = inboxes.flatMap((item) => app.linesOf(item.inbox_id));
  const here = app.linesOf(app.place.inbox);
  const line = lineChoice(lines, lineFor(here.length ? here : lines), "compose-from");
  const to = h("input", { id: "compose-to", type: "tel", required: true, maxlength: 40, autocomplete: "off", autofocus: true, "aria-describedby": "compose-hint compose-error" });
  const body = h("textarea", { id: "compose-body", rows: 4, maxlength: 20_000, dir: "auto" });
  const error = h("p", { id: "compose-error", class: "error", role: "alert" });
  const inboxOf = () => lines.find((one) => one.line_number === chosenLine(line)).inbox_id;
  const send = async (what) => {
    if (!form.reportValidity()) return;
    error.textContent = "";
    const given = { to: to.value, from: chosenLine(line), ...(what === "sendMessage" ? { body: body.value } : {}) };
    try {
      const row = await call(what, { parts: { inbox_id: inboxOf() }, body: given, key: crypto.randomUUID() });
      app.rows.takeCommunication(row, 0);
      dialog.close();
      go(app.hrefOf(row));
    } catch (refused) {
      if (!(refused instanceof Refused)) throw refused;
      if (refused.errors?.some((one) => one.field === "to")) to.setAttribute("aria-invalid", "true");
      error.textContent = refused.errors?.map((one) => one.message).join("; ") || alerts.sentenceOf(refused);
    }
  };
  const form = h(
    "form",
    {
      class: "dialog-form",
      on: {
        submit: (event) => {
          event.preventDefault();
          send("sendMessage");
        },
      },
    },
    h("label", { for: "compose-to" }, t("inbox.new.to")),
    to,
    h("p", { id: "compose-hint", class: "hint" }, t("inbox.new.to_hint")),
    h("label", { for: "compose-from" }, t("inbox.new.from")),
    line,
    h("label", { for: "compose-body" }, t("inbox.new.body")),
    body,
    counter(body),
    error,
    h(
      "p",
      { class: "dialog-actions" },
      h("button", { type: "button", class: "quiet", on: { click: () => dialog.close() } }, t("inbox.cancel")),
      h("button", { type: "button", on: { click: () => send("placeCall") } }, t("inbox.new.call")),
      h("button", { class: "primary" }, t("inbox.new.send")),
    ),
  );
  fill(dialog, h("h2", { id: "compose-title" }, t("inbox.new.title")), form);
  dialog.showModal();
}

/* Settings of this browser */

function settings() {
  const dialog = byId("settings");
  const kept = (name, standard) => localStorage.getItem(name) ?? standard;
  const theme = h(
    "select",
    {
      id: "theme",
      on: {
        change: () => {
          localStorage.setItem("theme", theme.value);
          if (theme.value === "system") delete document.documentElement.dataset.theme;
          else document.documentElement.dataset.theme = theme.value;
        },
      },
    },
    ["system", "light", "dark"].map((one) =>
      h("option", { value: one, selected: kept("theme", "system") === one }, t(`inbox.settings.theme_${one}`)),
    ),
  );
  const note = h("p", { class: "hint", role: "status" });
  const box = (name, standard, act) => {
    const input = h("input", {
      type: "checkbox",
      checked: kept(name, standard) === "on",
      on: {
        change: async () => {
          localStorage.setItem(name, input.checked ? "on" : "off");
          if (input.checked) await act?.(input);
        },
      },
    });
    return h("label", { class: "check" }, input, " ", t(`inbox.settings.${name}`));
  };
  const ask = async (input) => {
    if ((await Notification.requestPermission()) === "granted") return;
    input.checked = false;
    localStorage.setItem("notify", "off");
    note.textContent = t("inbox.settings.notify_denied");
  };
  fill(
    dialog,
    h("h2", { id: "settings-title" }, t("inbox.settings.title")),
    h("form", { method: "dialog", class: "dialog-form" },
      h("label", { for: "theme" }, t("inbox.settings.theme")),
      theme,
      "Notification" in window && box("notify", "off", ask),
      note,
      box("sound", "off", alerts.sound),
      box("keys", "on"),
      h("p", { class: "dialog-actions" }, h("button", { class: "primary" }, t("inbox.close"))),
    ),
  );
  dialog.showModal();
}

/* The tools over the list */

function showTools() {
  const { inbox, filters } = app.place;
  const known = app.panel.inbox(inbox);
  const title = inbox === "all" ? t("inbox.panel.all") : (known?.name ?? inbox);
  fill(byId("list-title"), h("bdi", {}, title));
  byId("read-inbox").hidden = !known || !app.panel.mayAct(inbox) || app.panel.unreadOf(known) === 0;
  pressed("threaded", app.list.view === "threaded");
  pressed("unthreaded", app.list.view === "unthreaded");
  pressed("only-unread", filters.unread === "true");
  for (const name of ["kind", "line", "team"]) byId(name).value = filters[name] ?? "";
  byId("only-failed").checked = filters.failed === "true";
  byId("only-active").checked = filters.active === "true";
  if (document.activeElement !== byId("q")) byId("q").value = filters.q ?? "";
  const hidden = ["kind", "line", "team", "failed", "active"].filter((name) => filters[name]).length;
  fill(byId("filter-count"), String(hidden));
  byId("filter-count").hidden = !hidden;
}

function pressed(id, is) {
  byId(id).setAttribute("aria-pressed", String(is));
}

async function look(view) {
  if (app.list.view === view) return;
  app.list.clear();
  app.list.view = view;
  showTools();
  app.list.load();
  try {
    await call("prefer", { body: { view } });
  } catch (error) {
    app.failed(error);
  }
}

function options(id, items) {
  const chosen = app.place.filters[id] ?? "";
  byId(id).append(...items.map(([value, label]) => h("option", { value, selected: value === chosen }, label)));
}

function bindTools() {
  byId("threaded").onclick = () => look("threaded");
  byId("unthreaded").onclick = () => look("unthreaded");
  byId("only-unread").onclick = () => filter({ unread: app.place.filters.unread ? null : "true" });
  byId("more-filters").onclick = () => {
    const shown = byId("filters").hidden;
    byId("filters").hidden = !shown;
    byId("more-filters").setAttribute("aria-expanded", String(shown));
  };
  for (const name of ["kind", "line", "team"]) byId(name).onchange = ({ target }) => filter({ [name]: target.value });
  byId("only-failed").onchange = ({ target }) => filter({ failed: target.checked ? "true" : null });
  byId("only-active").onchange = ({ target }) => filter({ active: target.checked ? "true" : null });
  byId("clear-filters").onclick = () => filter(Object.fromEntries(FILTERS.map((name) => [name, null])));
  byId("export").onclick = () => app.list.save().catch((error) => app.failed(error instanceof Refused ? error : new Refused(0, "")));
  let typing = 0;
  byId("q").oninput = ({ target }) => {
    clearTimeout(typing);
    typing = setTimeout(() => filter({ q: target.value.trim() }), TYPED);
  };
  byId("read-inbox").onclick = readInbox;
  byId("new").onclick = compose;
  byId("open-help").onclick = keyboard.showHelp;
  byId("open-settings").onclick = settings;
  byId("to-panel").onclick = () => {
    byId("inbox").dataset.pane = "panel";
    byId("panel").querySelector("a[aria-current]")?.focus();
  };
}

/* What comes in */

function hear({ event, data }) {
  const { rows } = app;
  if (event === "thread") rows.takeThread(data);
  else if (event === "communication") {
    rows.takeCommunication(data);
    tellNews(data);
  } else if (event === "gone") rows.forget(data.inbox_id, data.thread_id);
  else if (event === "reset") reload();
}

function tellNews(row) {
  const news = alerts.newsOf(row);
  if (!news) return;
  alerts.announce(news);
  if (!app.live.leads) return;
  alerts.notify(news, row, () => go(app.hrefOf(row)));
  alerts.sound();
}

function connection({ state, fresh }) {
  const element = byId("connection");
  const known = t(`inbox.connection.${state}`);
  element.dataset.state = state;
  if (state === "signed_out") return over();
  fill(element, known);
  if (state !== "live") return;
  app.sending.go();
  if (fresh && loaded) reload();
}

function over() {
  const to = encodeURIComponent(location.pathname + location.search);
  const link = h("a", { href: `/sign-in?to=${to}` }, t("inbox.connection.sign_in"));
  byId("connection").dataset.state = "signed_out";
  fill(byId("connection"), t("inbox.connection.signed_out"), " ", link);
}

let loaded = false;

/** Everything that is shown, again: the stream can't tell what was missed. The counts last: rows change them too. */
async function reload() {
  loaded = true;
  await Promise.allSettled([app.list.load(), app.conversation.reload()]);
  await app.panel.load().catch(unlessPassing);
}

function unlessPassing(error) {
  if (error instanceof Refused && error.passing) return;
  app.failed(error);
}

/** Who is who: needed for names, not for the first look. */
async function directory() {
  const [users, lines, teams] = await Promise.all([all("users"), all("lines"), all("teams")]);
  app.people = new Map(users.map((user) => [user.user_id, user.name]));
  app.lines = lines;
  options("line", lines.map((line) => [line.line_number, line.name ? `${line.name} ${line.line_number}` : line.line_number]));
  options("team", teams.map((team) => [team.team_id, team.name]));
  app.list.redraw();
  app.conversation.redraw();
}

async function whoAmI() {
  app.me = await call("me");
  readIn(app.me.time_zone);
  document.querySelector("[data-for-admins]").hidden = !app.isAdmin;
  document.querySelector("[data-me]").textContent = app.me.name;
}

async function again(act, pause = 1_000) {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return over();
      if (!(error instanceof Refused) || !error.passing) throw error;
      await new Promise((go) => setTimeout(go, pause));
    }
  }
}

async function begin() {
  bindTools();
  runClocks();
  app.live.addEventListener("row", ({ detail }) => hear(detail));
  app.live.addEventListener("state", ({ detail }) => connection(detail));
  app.panel.addEventListener("counted", () => {
    const { inbox } = app.place;
    const title = inbox === "all" ? t("common.inbox") : (app.panel.inbox(inbox)?.name ?? t("common.inbox"));
    alerts.showUnread(title, app.panel.unread);
    byId("read-inbox").hidden = inbox === "all" || !app.panel.mayAct(inbox) || app.panel.unreadOf(app.panel.inbox(inbox)) === 0;
  });
  app.panel.addEventListener("changed", () => {
    showTools();
    app.list.redraw();
    app.conversation.redraw();
  });
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href^='/inboxes/']") : null;
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(link.getAttribute("href"));
    if (app.place.thread && narrow()) app.conversation.focus();
    else if (link.dataset.inbox && narrow()) byId("list-title").focus?.();
  });
  addEventListener("popstate", arrive);
  keyboard.listen(shortcuts);
  const preferred = again(() => call("preferences")).then((preferences) => preferences && (app.list.view = preferences.view));
  app.live.start();
  await Promise.all([preferred, app.live.opened(OPENS_WITHIN)]);
  showTools();
  app.panel.show();
  const panel = again(() => app.panel.load());
  app.list.load();
  if (app.place.thread) app.conversation.open(app.place.thread, app.place.communication);
  byId("inbox").dataset.pane = app.place.thread ? "conversation" : "list";
  loaded = true;
  app.sending.go();
  await Promise.all([panel, again(whoAmI), again(directory)]);
  known();
  app.list.redraw();
  app.conversation.redraw();
}

const shortcuts = {
  next: () => app.list.step(1),
  previous: () => app.list.step(-1),
  back: (writing) => {
    if (writing) writing.blur();
    else if (app.place.thread) back();
    else byId("inbox").dataset.pane = "list";
  },
  search: () => byId("q").focus(),
  reply: () => app.conversation.reply(),
  call: () => app.conversation.call(),
  new: compose,
  read: () => app.conversation.markRead(),
  unread: () => app.conversation.markUnread(),
  name: () => app.conversation.rename(),
  view: () => look(app.list.view === "threaded" ? "unthreaded" : "threaded"),
  only_unread: () => byId("only-unread").click(),
  all: () => go(hrefOfInbox("all")),
  inbox: (number) => {
    const item = app.panel.items[number - 1];
    if (item) go(hrefOfInbox(item.inbox_id));
  },
  help: keyboard.showHelp,
};

begin();

/** How a communication looks: as a line of the list, and as a bubble or card of the conversation. */

import { call } from "./api.js";
import { fill, h, icon, unseen } from "./dom.js";
import { hasText, t } from "./text.js";
import { clock, clockTime, lasting, runningClock, timeElement } from "./times.js";

const NOT_SENT = new Set(["failed", "undelivered"]);
const LOST = new Set(["missed", "abandoned", "failed", "busy", "no_answer"]);

/** The contact's name, else its number. */
export function contactName(row) {
  return row.contact_name || contactNumber(row.contact_number);
}

/** A number as people read it: American ones in groups, others as they are. */
export function contactNumber(number) {
  if (number === "anonymous") return t("inbox.number.anonymous");
  const match = /^\+1(\d{3})(\d{3})(\d{4})$/.exec(number);
  return match ? `+1 ${match[1]} ${match[2]} ${match[3]}` : number;
}

/** Whether a text or call could reach a contact. */
export function canBeReached(number) {
  return /^\+?\d+$/.test(number);
}

export function failedToSend(row) {
  return row.kind === "message" && row.direction === "outbound" && NOT_SENT.has(row.status);
}

function callTitle(row) {
  return t(`inbox.call.${row.direction}.${row.status}`);
}

/** The icon and the tone of a communication. */
export function look(row) {
  if (row.kind === "message") return failedToSend(row) ? ["warning", "bad"] : ["message", ""];
  if (row.active) return ["phone", "live"];
  if (row.status === "voicemail") return ["voicemail", "violet"];
  if (row.direction === "outbound") return ["call-out", row.status === "failed" ? "bad" : ""];
  return LOST.has(row.status) ? ["call-missed", "bad"] : ["call-in", ""];
}

/** One line of text about a communication, for the list. */
export function snippet(row, app) {
  if (row.kind === "call") {
    const said = row.voicemail?.transcript;
    if (row.active) return [callTitle(row), " · ", runningClock(row.answered_at ?? row.started_at)];
    const talked = row.status === "completed" && row.talk_seconds ? ` · ${lasting(row.talk_seconds)}` : "";
    return [callTitle(row), talked, said ? ` · “${said}”` : ""];
  }
  const text = row.body || (row.media.length ? t("inbox.message.picture") : t("inbox.message.empty"));
  if (row.direction === "inbound") return [text];
  const mine = row.user_id === app.me?.user_id;
  if (mine) return [t("inbox.list.you", { text })];
  return [t("inbox.list.by", { who: row.user_id ? app.nameOf(row.user_id) : t("inbox.message.automatic"), text })];
}

/** A communication in the conversation. */
export function card(row, app, acts) {
  return row.kind === "call" ? callCard(row, app, acts) : bubble(row, app, acts);
}

function marks(row, acts) {
  if (!acts || row.direction !== "inbound" || row.active || row.unread) return null;
  return h(
    "button",
    { class: "quiet mark", title: t("inbox.message.mark_unread"), on: { click: () => acts.unreadFrom(row) } },
    icon("unread"),
    unseen(t("inbox.message.mark_unread")),
  );
}

function unreadDot(row) {
  return row.unread && h("span", { class: "dot" }, unseen(t("inbox.message.unread")));
}

function bubble(row, app, acts) {
  const outbound = row.direction === "outbound";
  const by = outbound && (row.user_id ? app.nameOf(row.user_id) : t("inbox.message.automatic"));
  const failed = failedToSend(row);
  const status = outbound && h("span", { class: failed ? "state bad" : "state" }, ...delivery(row));
  return h(
    "div",
    { class: `bubble ${outbound ? "out" : "in"}${failed ? " failed" : ""}` },
    (row.body || !row.media.length) && h("p", { class: "body", dir: "auto" }, row.body || t("inbox.message.empty")),
    row.media.map(attachment),
    h(
      "p",
      { class: "about" },
      unreadDot(row),
      by && h("span", { dir: "auto" }, by),
      timeElement(row.activity_at, clockTime),
      status,
    ),
    failed && acts && row.body && h("button", { class: "quiet", on: { click: () => acts.sendAgain(row) } }, t("inbox.again")),
    marks(row, acts),
  );
}

function delivery(row) {
  const symbol = { delivered: "checks", sent: "check", failed: "warning", undelivered: "warning" }[row.status] ?? "clock";
  const why = row.error_code ? t("inbox.message.error", { code: row.error_code }) : reason(row.reason);
  return [icon(symbol), t(`inbox.message.${row.status}`), failedToSend(row) && why ? ` (${why})` : ""];
}

function reason(given) {
  if (!given) return "";
  return hasText(`inbox.message.reasons.${given}`) ? t(`inbox.message.reasons.${given}`) : given;
}

function attachment({ url, content_type: type }) {
  if (!/^https?:/i.test(url)) return null;
  const link = (...inside) => h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, ...inside);
  if (type?.startsWith("image/")) {
    return link(h("img", { src: url, alt: t("inbox.message.picture"), loading: "lazy", referrerpolicy: "no-referrer" }));
  }
  if (type?.startsWith("audio/")) return player(url, t("inbox.message.file", { type }));
  return link(t("inbox.message.file", { type: type ?? "?" }));
}

function player(url, label) {
  if (!/^https?:/i.test(url)) return null;
  const audio = h("audio", { controls: true, preload: "none", src: url, "aria-label": label });
  const box = h("div", { class: "player" }, audio);
  audio.addEventListener("error", () => {
    const link = h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, t("inbox.call.open_recording"));
    fill(box, h("p", { class: "hint" }, t("inbox.call.no_player"), " ", link));
  });
  return box;
}

function callCard(row, app, acts) {
  const [symbol, tone] = look(row);
  return h(
    "div",
    { class: `call-card ${tone} ${row.direction === "outbound" ? "out" : "in"}` },
    h("span", { class: "call-icon" }, icon(symbol)),
    h(
      "div",
      { class: "call-about" },
      h("p", { class: "call-title" }, unreadDot(row), callTitle(row), row.active && [" ", runningClock(row.answered_at ?? row.started_at)]),
      h("p", { class: "about" }, timeElement(row.activity_at, clockTime), ...details(row, app).map((one) => h("span", {}, one))),
    ),
    marks(row, acts),
    row.voicemail && voicemail(row.voicemail),
    !row.voicemail && row.recording_url && player(row.recording_url, t("inbox.call.recording")),
    h("div", { class: "folds" }, participants(row, app), why(row)),
  );
}

function details(row, app) {
  const talker = row.participants.find((one) => one.answered_at)?.user_id ?? row.user_id;
  const said = [];
  if (row.direction === "inbound" && row.answered_at && talker) said.push(t("inbox.call.answered_by", { who: app.nameOf(talker) }));
  if (row.direction === "outbound" && row.user_id) said.push(t("inbox.call.placed_by", { who: app.nameOf(row.user_id) }));
  if (row.talk_seconds) said.push(t("inbox.call.talked", { time: lasting(row.talk_seconds) }));
  if (row.direction === "inbound" && row.wait_seconds >= 1) said.push(t("inbox.call.waited", { time: lasting(row.wait_seconds) }));
  if (row.after_hours) said.push(t("inbox.call.after_hours"));
  if (row.reason) said.push(t("inbox.call.reason", { reason: reason(row.reason) }));
  return said;
}

function voicemail({ recording_url: url, duration_seconds: seconds, transcript }) {
  const label = seconds ? t("inbox.call.voicemail", { time: clock(seconds) }) : t("inbox.call.voicemail_plain");
  return h(
    "div",
    { class: "voicemail" },
    url && player(url, label),
    transcript && h("blockquote", { dir: "auto", "aria-label": t("inbox.call.transcript") }, transcript),
  );
}

function participants(row, app) {
  if (!row.participants.length) return null;
  const steps = ["rang", "answered", "declined", "left"];
  return h(
    "details",
    {},
    h("summary", {}, t("inbox.call.who", { count: row.participants.length })),
    h(
      "ul",
      {},
      row.participants.map((one) =>
        h(
          "li",
          {},
          h("span", { dir: "auto" }, one.user_id ? app.nameOf(one.user_id) : (one.number ?? t("inbox.somebody"))),
          h(
            "span",
            { class: "hint" },
            [
              ...steps.filter((step) => one[`${step}_at`]).map((step) => t(`inbox.call.${step}`, { time: clockTime(one[`${step}_at`]) })),
              ...(one.held_seconds ? [t("inbox.call.held", { time: lasting(one.held_seconds) })] : []),
            ].join(", "),
          ),
        ),
      ),
    ),
  );
}

function why(row) {
  const list = h("ol", { class: "because" }, h("li", { class: "hint" }, t("inbox.loading")));
  const details = h("details", { class: "why" }, h("summary", {}, t("inbox.call.why")), list);
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    try {
      const { because } = await call("why", { parts: { communication_id: row.communication_id } });
      fill(list, because.map(({ at, what }) =>
        h("li", {}, at ? timeElement(at, clockTime) : h("span", { class: "hint" }, t("inbox.call.decided")), h("span", { dir: "auto" }, what)),
      ));
    } catch {
      fill(list, h("li", {}, t("inbox.call.why_failed")));
    }
  });
  return details;
}

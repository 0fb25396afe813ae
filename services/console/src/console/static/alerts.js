/** What is told beside the page's own content: problems, undo, screen readers, the title, the desktop, a sound. */

import { Refused } from "./api.js";
import { contactName } from "./cards.js";
import { byId, h, icon, unseen } from "./dom.js";
import { t } from "./text.js";

const STAYS = 8_000;
const GATHERS = 1_500;
const NEW_FOR = 120_000;

/** Say that something did not work. */
export function alertOf(text) {
  const close = h("button", { class: "quiet icon-only", on: { click: () => shown.remove() } }, icon("close"), unseen(t("inbox.close")));
  const shown = h("div", { class: "alert bad", role: "alert" }, icon("warning"), h("span", {}, text), close);
  byId("alerts").append(shown);
  setTimeout(() => shown.remove(), STAYS);
}

/** What to say of an error. */
export function sentenceOf(error) {
  if (error instanceof Refused && error.message) return t("inbox.alerts.not_done", { detail: error.message });
  return t("inbox.alerts.not_reached");
}

/** Say what was done, and let it be undone for so long. Answers what was chosen; closing the page lets it be done. */
export function undoable(text, milliseconds) {
  return new Promise((settle) => {
    const finish = (done) => {
      clearTimeout(timer);
      removeEventListener("pagehide", leave);
      shown.remove();
      settle(done);
    };
    const leave = () => finish(true);
    const undo = h("button", { on: { click: () => finish(false) } }, t("inbox.undo"));
    const shown = h("div", { class: "alert", role: "status" }, h("span", { dir: "auto" }, text), undo);
    const timer = setTimeout(() => finish(true), milliseconds);
    addEventListener("pagehide", leave);
    byId("alerts").append(shown);
  });
}

const waiting = [];
let due = 0;

/** Have a screen reader say something when there is a pause: several at once are only counted. */
export function announce(text) {
  waiting.push(text);
  due ||= setTimeout(() => {
    const said = waiting.length === 1 ? waiting[0] : t("inbox.alerts.several", { count: waiting.length });
    waiting.length = due = 0;
    byId("announcer").textContent = said;
  }, GATHERS);
}

/** Keep the title and the tab's icon at the number of unread. */
export function showUnread(inbox, count) {
  document.title = count ? t("inbox.title_unread", { inbox, count }) : t("inbox.title", { inbox });
  const link = document.querySelector('link[rel="icon"]');
  if (link.dataset.count === String(count)) return;
  link.dataset.plain ??= link.getAttribute("href");
  link.dataset.count = String(count);
  link.setAttribute("href", count ? badge(count) : link.dataset.plain);
  link.setAttribute("type", count ? "image/png" : "image/svg+xml");
}

function badge(count) {
  const canvas = h("canvas", { width: 64, height: 64 });
  const draw = canvas.getContext("2d");
  draw.fillStyle = "#3457d5";
  draw.beginPath();
  draw.roundRect(0, 0, 64, 64, 16);
  draw.fill();
  draw.fillStyle = "#fff";
  draw.font = `700 ${count > 99 ? 30 : 40}px system-ui, sans-serif`;
  draw.textAlign = "center";
  draw.textBaseline = "middle";
  draw.fillText(count > 99 ? "99+" : String(count), 32, 35);
  return canvas.toDataURL("image/png");
}

const seen = new Set();

/** What of a communication is news that somebody wants to hear of; null for what is not, or was told before. */
export function newsOf(row) {
  if (row.direction !== "inbound") return null;
  const ringing = row.active && row.status === "ringing";
  const what = ringing ? "new_call" : row.unread ? { message: "new_text" }[row.kind] ?? (row.status === "voicemail" ? "new_voicemail" : "new_missed") : null;
  if (!what) return null;
  const told = `${row.communication_id} ${what}`;
  if (seen.has(told) || Date.now() - Date.parse(row.activity_at) > NEW_FOR) return null;
  if (seen.size > 5_000) seen.clear();
  seen.add(told);
  return t(`inbox.alerts.${what}`, { who: contactName(row) });
}

/** On the desktop, where that was asked for. It names who, never what was said. */
export function notify(text, row, open) {
  if (localStorage.getItem("notify") !== "on" || Notification.permission !== "granted" || document.hasFocus()) return;
  const shown = new Notification(text, { body: row.inbox_name, tag: row.communication_id });
  shown.onclick = () => {
    focus();
    open();
    shown.close();
  };
}

/** Two soft notes, where that was asked for. */
export function sound() {
  if (localStorage.getItem("sound") !== "on") return;
  const audio = new AudioContext();
  [660, 880].forEach((frequency, index) => {
    const [note, volume] = [audio.createOscillator(), audio.createGain()];
    const at = audio.currentTime + index * 0.14;
    note.frequency.value = frequency;
    volume.gain.setValueAtTime(0.0001, at);
    volume.gain.exponentialRampToValueAtTime(0.15, at + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.3);
    note.connect(volume).connect(audio.destination);
    note.start(at);
    note.stop(at + 0.32);
    if (index) note.onended = () => audio.close();
  });
}

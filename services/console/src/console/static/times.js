/** Times in the reader's zone and language, and lengths of time. */

import { h } from "./dom.js";
import { t } from "./text.js";

const language = document.documentElement.lang;
let zone;
let formats = made();

/** Show times in a zone of the reader's own; without one, in the browser's. */
export function readIn(timeZone) {
  zone = timeZone || undefined;
  formats = made();
}

function made() {
  const of = (options) => new Intl.DateTimeFormat(language, { timeZone: zone, ...options });
  return {
    time: of({ hour: "numeric", minute: "2-digit" }),
    weekday: of({ weekday: "short" }),
    day: of({ day: "numeric", month: "short" }),
    old: of({ day: "numeric", month: "short", year: "numeric" }),
    heading: of({ weekday: "long", day: "numeric", month: "long" }),
    full: of({ dateStyle: "full", timeStyle: "long" }),
    date: of({ year: "numeric", month: "2-digit", day: "2-digit" }),
  };
}

/** The reader's calendar day of an instant, to compare days by. */
export function dayOf(iso) {
  return formats.date.format(new Date(iso));
}

/** As short as the list has room for: the time today, the weekday this week, else the date. */
export function briefly(iso, now = new Date()) {
  const at = new Date(iso);
  const age = now - at;
  if (dayOf(iso) === dayOf(now)) return formats.time.format(at);
  if (age >= 0 && age < 6 * 86_400_000) return formats.weekday.format(at);
  return (at.getFullYear() === now.getFullYear() ? formats.day : formats.old).format(at);
}

/** The heading over a day. */
export function dayHeading(iso, now = new Date()) {
  if (dayOf(iso) === dayOf(now)) return t("inbox.time.today");
  if (dayOf(iso) === dayOf(new Date(now - 86_400_000))) return t("inbox.time.yesterday");
  const at = new Date(iso);
  return (at.getFullYear() === now.getFullYear() ? formats.heading : formats.old).format(at);
}

/** A time with the full one on hover. */
export function timeElement(iso, shown = briefly) {
  return h("time", { datetime: iso, title: formats.full.format(new Date(iso)) }, shown(iso));
}

/** The time of day. */
export function clockTime(iso) {
  return formats.time.format(new Date(iso));
}

/** `3:05`, as a running clock and a player show it. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** `3 min 5 s`, to be read out. */
export function lasting(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return t("inbox.time.seconds", { seconds: whole });
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  return rest ? t("inbox.time.minutes_seconds", { minutes, seconds: rest }) : t("inbox.time.minutes", { minutes });
}

/** A clock that runs since an instant; `tick` moves every one that the page shows. */
export function runningClock(since) {
  return h("span", { class: "running", data: { since } }, clock((Date.now() - Date.parse(since)) / 1000));
}

/** Move the running clocks once a second, as long as somebody looks. */
export function runClocks() {
  setInterval(() => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll("[data-since]")) {
      element.textContent = clock((Date.now() - Date.parse(element.dataset.since)) / 1000);
    }
  }, 1000);
}

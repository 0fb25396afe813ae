/** Writing a text: from which line, how long, and why one may not. */

import { canBeReached, contactName, contactNumber } from "./cards.js";
import { h, icon } from "./dom.js";
import { t } from "./text.js";

const LONGEST = 20_000;
const GSM =
  "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
const GSM_EXTENDED = "^{}\\[~]|€\f";

/**
 * How telephony counts a text (3GPP TS 23.038): in septets where its characters allow, else in UTF-16 units, and in
 * how many segments it goes.
 */
export function segments(text) {
  let septets = 0;
  for (const character of text) {
    if (GSM.includes(character)) septets += 1;
    else if (GSM_EXTENDED.includes(character)) septets += 2;
    else {
      const units = text.length;
      return { characters: units, count: units <= 70 ? Math.min(1, units) : Math.ceil(units / 67), unicode: true };
    }
  }
  const count = septets <= 160 ? Math.min(1, septets) : Math.ceil(septets / 153);
  return { characters: septets, count, unicode: false };
}

/** The line that an answer goes out on unless another is chosen: that of the latest communication, if it is still
 * the inbox's, else the primary one, else the lowest (I13). */
export function lineFor(lines, latestLine) {
  const sorted = [...lines].sort((one, other) => (one.line_number < other.line_number ? -1 : 1));
  return (
    sorted.find((line) => line.line_number === latestLine) ?? sorted.find((line) => line.primary) ?? sorted[0] ?? null
  );
}

/** The name and number of a line. */
export function lineLabel(line) {
  const number = contactNumber(line.line_number);
  return line.name ? `${line.name} (${number})` : number;
}

/** A choice of sending lines; a sentence where there is only one. */
export function lineChoice(lines, chosen, id) {
  if (lines.length === 1) return h("span", { class: "line", data: { line: lines[0].line_number }, id }, lineLabel(lines[0]));
  return h(
    "select",
    { id, class: "line" },
    lines.map((line) => h("option", { value: line.line_number, selected: line === chosen }, lineLabel(line))),
  );
}

/** The number that a choice of lines names. */
export function chosenLine(element) {
  return element instanceof HTMLSelectElement ? element.value : element.dataset.line;
}

/** The count under a text, kept true while it is written. */
export function counter(textarea) {
  const element = h("span", { class: "count" });
  const count = () => {
    const { characters, count: parts, unicode } = segments(textarea.value);
    const note = unicode ? ` · ${t("inbox.composer.unicode")}` : "";
    element.textContent = characters ? t("inbox.composer.count", { characters, count: parts }) + note : "";
  };
  textarea.addEventListener("input", count);
  count();
  return element;
}

/** Why one can't write here; null where one can, empty as long as that is not known. */
export function whyNot(app, thread) {
  const access = app.panel.inbox(thread.inbox_id)?.access;
  if (!access) return "";
  if (access === "watching" || access === "admin") return t(`inbox.composer.${access}`);
  if (!canBeReached(thread.contact_number)) return t("inbox.composer.unanswerable");
  if (app.lines && !app.linesOf(thread.inbox_id).length) return t("inbox.composer.no_line");
  return null;
}

/** What was begun and not sent, kept over a reload and a new sign-in, forgotten when signing out. */
const drafts = {
  of: (threadId) => sessionStorage.getItem(`connected-inbox-draft ${threadId}`) ?? "",
  keep: (threadId, text) => {
    if (text) sessionStorage.setItem(`connected-inbox-draft ${threadId}`, text);
    else sessionStorage.removeItem(`connected-inbox-draft ${threadId}`);
  },
};

/** The composer of a thread; `send` is given what was written and the line. */
export function composer(app, thread, send) {
  const because = whyNot(app, thread);
  if (because !== null) return h("p", { class: "composer-not hint" }, because && icon("eye"), because);
  const lines = app.linesOf(thread.inbox_id);
  const line = lines.length ? lineChoice(lines, lineFor(lines, thread.latest.line_number), "from-line") : null;
  const label = t("inbox.composer.label", { who: contactName(thread) });
  const textarea = h("textarea", {
    id: "reply",
    rows: 1,
    maxlength: LONGEST,
    placeholder: t("inbox.composer.placeholder"),
    "aria-label": label,
    "aria-describedby": "send-hint",
    dir: "auto",
  });
  textarea.value = drafts.of(thread.thread_id);
  const button = h("button", { class: "primary", type: "submit", title: t("inbox.composer.send_hint") }, icon("send"), t("inbox.composer.send"));
  const grow = () => {
    drafts.keep(thread.thread_id, textarea.value);
    button.disabled = !textarea.value.trim();
    textarea.rows = Math.min(8, Math.max(1, textarea.value.split("\n").length, Math.ceil(textarea.value.length / 60)));
  };
  textarea.addEventListener("input", grow);
  textarea.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  const form = h(
    "form",
    {
      class: "composer",
      on: {
        submit: (event) => {
          event.preventDefault();
          const body = textarea.value;
          if (!body.trim()) return;
          textarea.value = "";
          textarea.dispatchEvent(new Event("input"));
          textarea.focus();
          send(body, line ? chosenLine(line) : undefined);
        },
      },
    },
    h(
      "div",
      { class: "composer-from" },
      line && h("label", { for: "from-line", class: "hint" }, t("inbox.composer.from")),
      line,
      counter(textarea),
    ),
    h("div", { class: "composer-row" }, textarea, button),
    h("span", { id: "send-hint", class: "hidden-visually" }, t("inbox.composer.send_hint")),
  );
  grow();
  return form;
}

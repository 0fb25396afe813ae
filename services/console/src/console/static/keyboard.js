/** Shortcuts with single keys, and the page that lists them. */

import { byId, fill, h } from "./dom.js";
import { t } from "./text.js";

const SECOND_KEY_WITHIN = 1_500;

/** Every shortcut: its keys as shown, what it does, and its text. */
export const SHORTCUTS = [
  { keys: ["j", "ArrowDown"], text: "next" },
  { keys: ["k", "ArrowUp"], text: "previous" },
  { keys: ["Enter"], text: "open" },
  { keys: ["Escape"], text: "back" },
  { keys: ["/"], text: "search" },
  { keys: ["r"], text: "reply" },
  { keys: ["c"], text: "call" },
  { keys: ["n"], text: "new" },
  { keys: ["e"], text: "read" },
  { keys: ["u"], text: "unread" },
  { keys: ["m"], text: "name" },
  { keys: ["v"], text: "view" },
  { keys: ["f"], text: "only_unread" },
  { keys: ["g a"], text: "all" },
  { keys: ["g 1"], text: "inbox" },
  { keys: ["?"], text: "help" },
];

const SHOWN = { ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc" };

/** Whether single keys are shortcuts: who dictates can turn them off. */
export function on() {
  return localStorage.getItem("keys") !== "off";
}

/** Do `acts[name]` on the shortcut of that name; `acts.inbox` is given a number. */
export function listen(acts) {
  let first = "";
  let forget = 0;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.closest("dialog")) return;
    const writing = target.matches("input, textarea, select, [contenteditable]");
    if (event.key === "Escape") {
      acts.back(writing ? target : null);
      return;
    }
    if (writing || !on()) return;
    if (event.key.startsWith("Arrow") && !target.closest(".rows")) return;
    const name = nameOf(first, event.key);
    first = event.key === "g" && !first ? "g" : "";
    clearTimeout(forget);
    forget = setTimeout(() => (first = ""), SECOND_KEY_WITHIN);
    if (!name || name === "open" || name === "back") return;
    event.preventDefault();
    acts[name](Number(event.key) || 0);
  });
}

function nameOf(first, key) {
  if (first === "g") return key === "a" ? "all" : /^[1-9]$/.test(key) ? "inbox" : null;
  return SHORTCUTS.find((one) => one.keys.includes(key))?.text ?? null;
}

/** Show what the keys do. */
export function showHelp() {
  const dialog = byId("help");
  const key = (text) => h("kbd", {}, SHOWN[text] ?? text);
  const combination = (keys) => {
    const parts = keys.split(" ");
    return parts.length === 2 ? [key(parts[0]), ` ${t("inbox.keys.then")} `, key(parts[1])] : key(parts[0]);
  };
  fill(
    dialog,
    h("h2", { id: "help-title" }, t("inbox.keys.title")),
    h(
      "dl",
      { class: "keys" },
      SHORTCUTS.map(({ keys, text }) =>
        h("div", {},
          h("dt", {}, keys.map((one, index) => [index ? ` ${t("inbox.keys.or")} ` : null, combination(one)])),
          h("dd", {}, t(`inbox.keys.${text}`)),
        ),
      ),
    ),
    h("form", { method: "dialog", class: "dialog-actions" }, h("button", { class: "primary", autofocus: true }, t("inbox.close"))),
  );
  dialog.showModal();
}

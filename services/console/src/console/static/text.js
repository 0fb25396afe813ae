/** What the console says, by key, from static/text/<language>/<area>.json: "inbox.list.empty". */

const root = document.documentElement;
const plural = new Intl.PluralRules(root.lang);
const areas = ["common", "inbox"];
const loaded = await Promise.all(
  areas.map(async (area) => (await fetch(`${root.dataset.static}text/${root.lang}/${area}.json`)).json()),
);
const entries = Object.fromEntries(areas.map((area, index) => [area, loaded[index]]));

/**
 * The sentence of a key, its {names} filled in; of several plural forms that for `count`.
 * @param {string} key
 * @param {Record<string, string|number>} values
 */
export function t(key, values = {}) {
  let entry = key.split(".").reduce((found, part) => found?.[part], entries);
  if (entry && typeof entry === "object") entry = entry[plural.select(Number(values.count))] ?? entry.other;
  if (typeof entry !== "string") throw new Error(`no text for ${key}`);
  return entry.replace(/\{(\w+)\}/g, (_whole, name) => String(values[name] ?? ""));
}

/** Whether there is a text for a key. */
export function hasText(key) {
  return typeof key.split(".").reduce((found, part) => found?.[part], entries) === "string";
}

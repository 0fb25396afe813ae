// @ts-check
/** A field above each long list of boxes, and each long select, narrows it. Without this script they are scrolled. */

const LONG = 12;

/** @param {string | null} text */
function plain(text) {
  return (text ?? "").normalize("NFD").replace(/\p{M}/gu, "").toLocaleLowerCase();
}

/** @param {HTMLElement} list */
function narrowed(list) {
  const select = list instanceof HTMLSelectElement ? list : null;
  const all = [...list.children];
  if (all.length <= LONG) return;
  const field = document.createElement("input");
  field.type = "search";
  field.className = "narrow";
  field.autocomplete = "off";
  field.placeholder = field.ariaLabel = list.dataset.search ?? "";
  const found = document.createElement("p");
  found.className = "hint";
  found.role = "status";
  field.addEventListener("input", () => {
    const wanted = plain(field.value.trim());
    const matching = new Set(all.filter((one) => plain(one.textContent).includes(wanted)));
    // What is chosen, and the option that chooses nobody, stay in a select: it would choose another by itself.
    const kept = (/** @type {any} */ one) => one.selected || one.value === "";
    if (select) select.replaceChildren(...all.filter((one) => matching.has(one) || kept(one)));
    else for (const one of all) /** @type {HTMLElement} */ (one).hidden = !matching.has(one);
    const said = list.dataset.found ?? "";
    const counts = said.replace("{shown}", String(matching.size)).replace("{all}", String(all.length));
    found.textContent = wanted ? counts : "";
  });
  field.addEventListener("keydown", (event) => {
    // It would send the form.
    if (event.key === "Enter") event.preventDefault();
  });
  list.before(field, found);
}

for (const list of document.querySelectorAll("[data-search]")) narrowed(/** @type {HTMLElement} */ (list));

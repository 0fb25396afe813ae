/** Elements, made without ever reading a string as HTML: what a caller wrote is shown, never run. */

const BASE = document.documentElement.dataset.static;

/**
 * An element. Attributes that are null or false are left out, true makes an empty one; `on` holds listeners,
 * `data` the dataset.
 * @param {string} tag
 * @param {Record<string, any>} attributes
 * @param {...(Node|string|number|null|false|undefined|Array<any>)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...kept(children));
  return element;
}

/** Put children in place of what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...kept(children));
  return element;
}

function kept(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** One of the icons of icons.svg; what it means is said beside it. */
export function icon(name, className = "") {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", `icon ${className}`.trim());
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `${BASE}icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** Text for screen readers alone. */
export function unseen(text) {
  return h("span", { class: "hidden-visually" }, text);
}

/** Move a child before another one (null: to the end), and keep the focus that is in it. */
export function moveChild(parent, child, before) {
  if (child.nextSibling === before && child.parentNode === parent) return;
  if (child.parentNode === parent && "moveBefore" in parent) {
    parent.moveBefore(child, before);
    return;
  }
  const focused = child.contains(document.activeElement) ? document.activeElement : null;
  parent.insertBefore(child, before);
  if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
}

/** @param {string} id */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** Small helpers. What the server says only ever becomes text nodes and attributes, never markup. */

export const byId = (id) => document.getElementById(id);

/**
 * An element with attributes and children. `on…` takes a listener, `hidden`, `disabled` and the like
 * are set when true and left out when false or null.
 */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

/** Touches the page only when the text is another one. */
export function setText(element, text) {
  const target = typeof element === "string" ? byId(element) : element;
  if (target.textContent !== text) target.textContent = text;
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Term and description pairs. */
export function facts(list, pairs) {
  const items = pairs.filter(Boolean).map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text)));
  list.replaceChildren(...items);
}

/** Scrolls to an element and gives it the focus, so that keyboard and eye arrive together. */
export function goTo(element) {
  if (!element) return;
  if (!element.hasAttribute("tabindex")) element.setAttribute("tabindex", "-1");
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ block: "center", behavior: isStill ? "auto" : "smooth" });
  element.focus({ preventScroll: true });
  for (const other of document.querySelectorAll(".pointed")) other.classList.remove("pointed");
  element.classList.add("pointed");
}

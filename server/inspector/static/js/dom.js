// Elements from values. Text always becomes text nodes: no title of an item can become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Make an HTML element: h("p", {class: "note", onclick: f}, "text", child, [more]). */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an SVG element. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace what `node` has; lists are taken apart, null and false left out. */
export function put(node, ...children) {
  node.replaceChildren();
  return fill(node, null, children);
}

let last = 0;
/** An id that no other element has. */
export const newId = (stem) => `${stem}-${(last += 1)}`;

/** Call `action` once calls have stopped for `ms`. */
export function debounced(action, ms) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), ms);
  };
}

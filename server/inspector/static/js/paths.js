// PDN's paths as a graph, after figure 1 of the paper: the user at the left, triggers in the middle, the candidate at the
// right. A line is as thick as its weight t (user to trigger) or similarity s (trigger to candidate) is large.

import { h, s } from "./dom.js";
import { fixed, itemName } from "./format.js";

const ROW = 34;
const BOX = 26;
const THIN = 1;
const THICK = 9;
const ADDS = 44;
const pen = document.createElement("canvas").getContext("2d");

/** Draw the paths of `evidence`; drawn again when the width changes. */
export function pathGraph(evidence, candidate, interactions) {
  const root = h("div", { class: "graph" });
  let drawn = 0;
  new ResizeObserver(([entry]) => {
    const across = Math.round(entry.contentRect.width);
    if (across && across !== drawn) {
      drawn = across;
      root.replaceChildren(draw(evidence, candidate, interactions, across));
    }
  }).observe(root);
  return root;
}

function draw(evidence, candidate, interactions, across) {
  const rest = evidence.more_paths ? 1 : 0;
  const rows = evidence.paths.length + rest;
  const top = evidence.direct ? 48 : 10;
  const height = top + Math.max(rows * ROW, 96) + 8;
  const middle = top + (height - top - 8) / 2;
  const narrow = across < 620;
  const side = narrow ? 70 : 132;
  const gap = narrow ? 22 : Math.min(180, across * 0.16);
  const at = { left: side, box: side + gap, boxEnd: across - side - gap, right: across - side };
  const weights = range(evidence.paths.map((path) => path.weight));
  const similarities = range(evidence.paths.map((path) => path.similarity));
  const first = middle - (rows * ROW) / 2;
  const y = (place) => first + place * ROW + ROW / 2;
  return s(
    "svg",
    { width: across, height, viewBox: `0 0 ${across} ${height}`, role: "img", class: narrow ? "narrow" : null, "aria-label": spoken(evidence, candidate) },
    evidence.direct ? direct(evidence.direct, at, middle) : null,
    evidence.paths.map((path, place) => edges(path, at, middle, y(place), weights, similarities)),
    rest ? s("g", { class: "rest" }, curve(at.left, middle, at.box, y(rows - 1), THIN), curve(at.boxEnd, y(rows - 1), at.right, middle, THIN)) : null,
    evidence.paths.map((path, place) => trigger(path, at, y(place), narrow)),
    rest ? box(at, y(rows - 1), "more", `${evidence.more_paths} more paths`, "", evidence.more_contribution, narrow) : null,
    end(0, side, middle, "User", interactions ? wrapped(`${interactions} interactions`, narrow ? 12 : 19, 2) : []),
    end(across - side, side, middle, "Candidate", wrapped(itemName(candidate), narrow ? 9 : 19, 4)),
  );
}

function edges(path, at, middle, y, weights, similarities) {
  const title = `${path.trigger.title || path.trigger.id}: t ${fixed(path.weight, 3)}, s ${fixed(path.similarity, 3)}, adds ${fixed(path.contribution, 3)}`;
  return s(
    "g",
    { class: "path" },
    s("title", {}, title),
    curve(at.left, middle, at.box, y, thickness(path.weight, weights)),
    curve(at.boxEnd, y, at.right, middle, thickness(path.similarity, similarities)),
  );
}

function curve(x1, y1, x2, y2, thick) {
  const bend = (x2 - x1) * 0.5;
  return s("path", { class: "edge", d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, "stroke-width": thick.toFixed(1) });
}

function direct(value, at, middle) {
  const y = 24;
  const d = `M${at.left} ${middle}C${at.left + 30} ${y} ${at.left + 40} ${y} ${at.box} ${y}H${at.boxEnd}C${at.right - 40} ${y} ${at.right - 30} ${y} ${at.right} ${middle}`;
  const label = s("text", { x: (at.box + at.boxEnd) / 2, y: y - 7, "text-anchor": "middle" }, `direct +${fixed(value, 2)}`);
  return s("g", { class: "direct" }, s("path", { class: "edge", d, "stroke-width": 1.5 }), label);
}

function trigger(path, at, y, narrow) {
  const type = narrow ? "" : path.trigger.type.toLowerCase();
  return box(at, y, "", path.trigger.title || path.trigger.id, type, path.contribution, narrow);
}

function box(at, y, kind, name, type, adds, narrow) {
  const typeRoom = type ? width(type, narrow) + 10 : 0;
  const room = at.boxEnd - at.box - 16 - ADDS - typeRoom;
  return s(
    "g",
    { class: `trigger ${kind}` },
    s("rect", { x: at.box, y: y - BOX / 2, width: at.boxEnd - at.box, height: BOX, rx: 5 }),
    s("text", { x: at.box + 8, y: y + 4 }, s("title", {}, name), fitted(name, room, narrow)),
    type ? s("text", { class: "type", x: at.boxEnd - 8 - ADDS, y: y + 4, "text-anchor": "end" }, type) : null,
    s("text", { class: "adds", x: at.boxEnd - 8, y: y + 4, "text-anchor": "end" }, `+${fixed(adds, 2)}`),
  );
}

function end(x, width, y, title, lines) {
  const height = 28 + lines.length * 15;
  return s(
    "g",
    { class: "end" },
    s("rect", { x: x + 0.75, y: y - height / 2, width: width - 1.5, height, rx: 6 }),
    s("text", { class: "end-title", x: x + width / 2, y: y - height / 2 + 18, "text-anchor": "middle" }, title),
    lines.map((line, place) => s("text", { x: x + width / 2, y: y - height / 2 + 34 + place * 15, "text-anchor": "middle" }, line)),
  );
}

const range = (values) => [Math.min(...values), Math.max(...values)];

/** Between thin and thick, as `value` lies in the range; equal ones are all of middling thickness. */
function thickness(value, [low, high]) {
  return high > low ? THIN + ((value - low) / (high - low)) * (THICK - THIN) : (THIN + THICK) / 2;
}

/** How wide a text is drawn, in pixels. */
function width(text, narrow) {
  pen.font = `${narrow ? 10.5 : 11.5}px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}

/** As much of a text as fits into `room` pixels. */
function fitted(text, room, narrow) {
  if (width(text, narrow) <= room) return text;
  let letters = text.length - 1;
  while (letters > 1 && width(`${text.slice(0, letters)}…`, narrow) > room) letters -= 1;
  return `${text.slice(0, letters)}…`;
}

function cut(text, letters) {
  return text.length <= letters ? text : `${text.slice(0, Math.max(1, Math.floor(letters) - 1))}…`;
}

function wrapped(text, letters, most) {
  const lines = [""];
  for (const word of text.split(" ")) {
    if (`${lines.at(-1)} ${word}`.trim().length > letters && lines.at(-1)) lines.push("");
    lines[lines.length - 1] = `${lines.at(-1)} ${word}`.trim();
  }
  const shown = lines.slice(0, most).map((line) => cut(line, letters));
  if (lines.length > most) shown[most - 1] = cut(`${shown[most - 1]} …`, letters);
  return shown;
}

const spoken = (evidence, candidate) => `${evidence.paths.length + evidence.more_paths} paths to ${itemName(candidate)}. Strongest via ${evidence.paths.slice(0, 3).map((path) => `${path.trigger.title || path.trigger.id}, ${fixed(path.contribution, 2)}`).join("; ")}`;

/** The same paths in numbers, folded away. */
export function pathTable(evidence) {
  const head = h("tr", {}, ["Trigger", "Type"].map((name) => h("th", { scope: "col" }, name)), ["t", "s", "Adds"].map((name) => h("th", { scope: "col", class: "num" }, name)));
  const rows = evidence.paths.map((path) => h("tr", {}, h("th", { scope: "row" }, path.trigger.title || path.trigger.id), h("td", {}, path.trigger.type.toLowerCase()), [path.weight, path.similarity, path.contribution].map((value) => h("td", { class: "num" }, fixed(value, 3)))));
  return h("details", { class: "numbers" }, h("summary", {}, "In numbers"), h("p", { class: "note" }, "A path adds softplus(t + s)."), h("div", { class: "scroll bare" }, h("table", { class: "plain-table" }, h("thead", {}, head), h("tbody", {}, rows))));
}

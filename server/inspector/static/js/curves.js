// Recall against the time of a search, as measured at publishing: one line per engine and space, the served setting marked.

import { h, s } from "./dom.js";
import { fixed, micros } from "./format.js";

const WIDTH = 440;
const HEIGHT = 168;
const EDGE = { left: 44, right: 12, top: 12, bottom: 28 };
const DASHES = ["", "5 3", "2 3", "8 3 2 3"];

const name = (curve) => [curve.engine, curve.kind].filter(Boolean).join(" ");

/** Draw the curves of an index. */
export function curveChart(index) {
  const points = index.curves.flatMap((curve) => curve.points);
  const target = index.facts.recall_target ?? 1;
  const lowest = Math.min(target, ...points.map((point) => point.recall));
  const x = scale(0, Math.max(...points.map((point) => point.search_us)) * 1.08, EDGE.left, WIDTH - EDGE.right);
  const y = scale(floor(lowest), 1, HEIGHT - EDGE.bottom, EDGE.top);
  const summary = index.curves.map((curve) => `${name(curve)}: ${curve.points.map((point) => `${point.setting} recall ${fixed(point.recall, 3)} in ${micros(point.search_us)}`).join("; ")}`).join(". ");
  return h(
    "figure",
    { class: `curve s-${index.source}` },
    s(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Recall against search time. ${summary}` },
      axes(x, y),
      s("line", { class: "target", x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(target), y2: y(target) }, s("title", {}, `target ${target}`)),
      index.curves.map((curve, place) => line(curve, place, x, y)),
    ),
    h("figcaption", {}, index.curves.map((curve, place) => h("span", { class: "key" }, s("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" }, s("line", { class: "stroke", x1: 1, x2: 21, y1: 4, y2: 4, "stroke-dasharray": DASHES[place % DASHES.length] })), name(curve))), h("span", { class: "key" }, s("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" }, s("circle", { class: "served", cx: 6, cy: 6, r: 4 })), "served"), h("span", { class: "key" }, s("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" }, s("line", { class: "target", x1: 1, x2: 21, y1: 4, y2: 4 })), "target")),
  );
}

function line(curve, place, x, y) {
  const sorted = [...curve.points].sort((a, b) => a.search_us - b.search_us);
  return s(
    "g",
    {},
    s("polyline", { class: "stroke", points: sorted.map((point) => `${x(point.search_us)},${y(point.recall)}`).join(" "), "stroke-dasharray": DASHES[place % DASHES.length] }),
    sorted.map((point) =>
      s("circle", { class: point.chosen ? "served" : "measured", cx: x(point.search_us), cy: y(point.recall), r: point.chosen ? 5 : 3 }, s("title", {}, `${[name(curve), point.setting].filter(Boolean).join(" ")}: recall ${fixed(point.recall, 4)}, ${micros(point.search_us)}`)),
    ),
  );
}

function axes(x, y) {
  const across = ticks(...x.domain, 5);
  const up = ticks(...y.domain, 4);
  const digits = up.every((value) => Math.abs(value * 100 - Math.round(value * 100)) < 1e-6) ? 2 : 3;
  return s(
    "g",
    { class: "axes" },
    up.map((value) => [s("line", { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(value), y2: y(value) }), s("text", { x: EDGE.left - 6, y: y(value) + 4, "text-anchor": "end" }, fixed(value, digits))]),
    across.map((value) => s("text", { x: x(value), y: HEIGHT - EDGE.bottom + 16, "text-anchor": value === 0 ? "start" : "middle" }, micros(value))),
  );
}

function scale(from, to, low, high) {
  const map = (value) => low + ((value - from) / (to - from || 1)) * (high - low);
  map.domain = [from, to];
  return map;
}

/** A round value a little below. */
const floor = (value) => {
  const step = value > 0.98 ? 0.005 : value > 0.9 ? 0.02 : 0.1;
  return Math.max(0, Math.floor((value - step / 4) / step) * step);
};

function ticks(from, to, wanted) {
  const raw = (to - from) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= raw);
  const found = [];
  for (let value = Math.ceil(from / step - 1e-9) * step; value <= to + step * 1e-6; value += step) found.push(Math.round(value * 1e9) / 1e9);
  return found;
}

/** The same numbers as a table, folded away. */
export function curveTable(index) {
  const rows = index.curves.flatMap((curve) => curve.points.map((point) => h("tr", { class: point.chosen ? "chosen" : null }, h("th", { scope: "row" }, name(curve)), h("td", {}, point.setting), h("td", { class: "num" }, fixed(point.recall, 4)), h("td", { class: "num" }, micros(point.search_us)))));
  const head = h("tr", {}, ["Engine", "Setting"].map((one) => h("th", { scope: "col" }, one)), ["Recall", "Search"].map((one) => h("th", { scope: "col", class: "num" }, one)));
  return h("details", { class: "numbers" }, h("summary", {}, `${rows.length} measured settings`), h("table", { class: "plain-table" }, h("thead", {}, head), h("tbody", {}, rows)));
}

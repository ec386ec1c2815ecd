// How long each stage of one answer took, as the server says it.

import { h, s } from "./dom.js";
import { count, micros } from "./format.js";
import { sourceTag } from "./tags.js";

const WIDTH = 160;

/** Why a source gave less than its best, in words. */
export const LACKS = {
  NOT_IN_BUNDLE: "not in this bundle",
  EMPTY_HISTORY: "needs a history",
  UNKNOWN_HISTORY: "knows no item of the history",
  ENCODER_FAILED: "its encoder failed",
  EXHAUSTED: "knows no more",
};

/** Columns that a narrow screen goes without. */
const wide = (name) => (["Filters", "Found", "Scored"].includes(name) ? "wide" : "");

/** A table with a bar per stage. */
export function stages(answer) {
  const most = Math.max(1, answer.fuse_us, ...answer.sources.map((one) => one.encode_us + one.search_us));
  const total = answer.fuse_us + answer.sources.reduce((sum, one) => sum + one.encode_us + one.search_us, 0);
  const head = [
    ...["Stage", "Method", "Filters"].map((name) => h("th", { scope: "col", class: wide(name) }, name)),
    ...["Found", "Scored", "Encode", "Search"].map((name) => h("th", { scope: "col", class: `num ${wide(name)}` }, name)),
    h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "As a bar")),
  ];
  return h(
    "div",
    { class: "scroll bare" },
    h(
      "table",
      { class: "plain-table stages" },
      h("thead", {}, h("tr", {}, head)),
      h("tbody", {}, answer.sources.map((one) => row(one, most)), last("fuse", answer.fuse_us, most), last("together", total, 0)),
    ),
  );
}

function row(one, most) {
  const ran = Boolean(one.method);
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, sourceTag(one.source)),
    h("td", { class: ran ? null : "muted" }, ran ? one.method.replaceAll("_", " ") : (LACKS[one.degradation] ?? "did not run")),
    h("td", { class: "wide" }, one.plan.replaceAll("_", " ")),
    [one.found, one.fetched].map((value) => h("td", { class: "num wide" }, count(value))),
    [one.encode_us, one.search_us].map((value) => h("td", { class: "num" }, micros(value))),
    h("td", { class: `meter s-${one.source}` }, bar([["encode", one.encode_us], ["search", one.search_us]], most)),
  );
}

function last(name, value, most) {
  return h(
    "tr",
    { class: name },
    h("th", { scope: "row" }, name),
    h("td"),
    h("td", { class: "wide", colspan: 3 }),
    h("td"),
    h("td", { class: "num" }, micros(value)),
    h("td", { class: "meter" }, most ? bar([["fuse", value]], most) : ""),
  );
}

/** An SVG, because the page's policy allows no inline styles. */
function bar(parts, most) {
  let at = 0;
  const rects = parts.map(([name, value]) => {
    const width = value ? Math.max(1, (value / most) * WIDTH) : 0;
    const rect = s("rect", { class: name, x: at, y: 0, width, height: 10 }, s("title", {}, `${name} ${micros(value)}`));
    at += width;
    return rect;
  });
  return s("svg", { viewBox: `0 0 ${WIDTH + 4} 10`, "aria-hidden": "true", preserveAspectRatio: "none" }, rects);
}

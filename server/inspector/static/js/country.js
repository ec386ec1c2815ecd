// One country: how each of its indices searches, and what was measured when it was published.

import { get } from "./api.js";
import { curveChart, curveTable } from "./curves.js";
import { h, put } from "./dom.js";
import { bytes, count, countryName, indexName, share } from "./format.js";
import { loading, problem } from "./states.js";

const ORDER = ["recall", "recall_target", "queries", "own_queries", "space", "ef", "m", "ef_construction", "dim", "count"];
const LABELS = {
  recall: "recall", recall_target: "target", recall_k: "at k", queries: "queries", own_queries: "of this country", m: "M",
  ef_construction: "ef at building", count: "pairs", trigger_dim: "trigger dim", input_dim: "input dim",
};
let asked = 0;

/** Fill `root` with the country's details. */
export async function countryDetails(root, code) {
  const turn = (asked += 1);
  const slow = setTimeout(() => turn === asked && put(root, loading(`Reading ${code} …`)), 150);
  try {
    const details = await get("country", { country: code });
    if (turn === asked) put(root, ...draw(details));
  } catch (error) {
    if (turn === asked) put(root, problem(error, () => countryDetails(root, code)));
  } finally {
    clearTimeout(slow);
  }
}

function draw({ country, indices, bytes: sizes }) {
  const name = countryName(country);
  const total = Object.values(sizes).reduce((sum, size) => sum + size, 0);
  return [
    h("div", { class: "section-head" }, h("h2", {}, name ? `${name} (${country})` : country), h("span", { class: "note" }, `${bytes(total)}: `, Object.entries(sizes).map(([part, size]) => `${part} ${bytes(size)}`).join(", ")), h("a", { href: `#/bench?country=${encodeURIComponent(country)}` }, "Ask a question")),
    h("div", { class: "indices" }, indices.map(panel)),
  ];
}

function panel(index) {
  const facts = [...ORDER, ...Object.keys(index.facts)].filter((key, place, all) => key in index.facts && all.indexOf(key) === place && key !== "recall_k");
  const measured = index.curves.some((curve) => curve.points.length > 0);
  return h(
    "article",
    { class: "index-panel" },
    h("h3", { class: "source" }, h("span", { class: `swatch s-${index.source}` }), indexName(index), h("span", { class: "engine" }, index.engine)),
    h("dl", { class: "index-facts" }, facts.map((key) => h("div", {}, h("dt", {}, LABELS[key] ?? key.replaceAll("_", " ")), h("dd", {}, shown(key, index))))),
    index.reason ? h("p", { class: "note reason" }, index.reason) : "",
    measured ? [curveChart(index), curveTable(index)] : h("p", { class: "note" }, why(index)),
  );
}

function shown(key, index) {
  const value = index.facts[key];
  if (key === "recall") return index.facts.recall_k && index.engine !== "exact" ? `${share(value)} @${index.facts.recall_k}` : share(value);
  if (key === "recall_target") return share(value);
  return typeof value === "number" ? count(value) : value;
}

function why(index) {
  if (index.engine === "paths") return "Paths are followed exactly: there is nothing to measure.";
  return "Searched exactly: there is no curve.";
}

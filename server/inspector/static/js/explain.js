// Why one candidate is in the answer: each source's reason, and PDN's two-hop paths as a graph.

import { h } from "./dom.js";
import { fixed, itemName } from "./format.js";
import { pathGraph, pathTable } from "./paths.js";
import { sourceTag } from "./tags.js";

const DONE = { VIEW: "viewed", CLICK: "clicked", FAVORITE: "a favourite", CART: "put in the cart", PURCHASE: "bought" };
const NEXT = { VIEW: "a view", CLICK: "a click", FAVORITE: "favourites", CART: "the cart", PURCHASE: "a purchase" };

/** The reasons for `candidate`, which was picked in the list of `source`, "" for the fused one. */
export function explanation(candidate, source, question) {
  const paths = candidate.evidence.find((piece) => piece.paths.length > 0);
  return h(
    "section",
    { "aria-label": "Explanation" },
    h(
      "div",
      { class: "section-head" },
      h("h2", {}, `Why “${itemName(candidate)}”`),
      h("span", { class: "note" }, source ? `as ${source} found it alone` : ""),
    ),
    facts(candidate),
    candidate.evidence.length ? reasons(candidate.evidence) : h("p", { class: "note" }, "No source found it: popularity filled up."),
    paths ? h("figure", { class: "paths s-pdn" }, h("figcaption", {}, h("strong", {}, "Two-hop paths"), " user → trigger → candidate. The thicker a line, the larger t or s; the numbers are what each path adds to the score of ", fixed(paths.score, 3)), pathGraph(paths, candidate, question.history.length), pathTable(paths)) : noPaths(candidate),
  );
}

function facts(candidate) {
  const known = [["key", candidate.key], ["id", candidate.id], ["merchant", candidate.merchant], ["category", candidate.category]].filter(([, value]) => value);
  return h("p", { class: "meta" }, known.map(([name, value]) => h("span", {}, `${name} `, h("span", { class: "mono" }, value))));
}

function noPaths(candidate) {
  const pdn = candidate.evidence.find((piece) => piece.source === "pdn");
  return pdn ? h("p", { class: "note" }, "PDN gives no paths for it.") : "";
}

function reasons(evidence) {
  const head = h("tr", {}, h("th", { scope: "col" }, "Source"), h("th", { scope: "col", class: "num" }, "Rank"), h("th", { scope: "col", class: "num" }, "Score"), h("th", { scope: "col" }, "Because"));
  const rows = evidence.map((piece) => h("tr", {}, h("th", { scope: "row" }, sourceTag(piece.source)), h("td", { class: "num" }, piece.rank), h("td", { class: "num" }, fixed(piece.score, 3)), h("td", { class: "wrap" }, reason(piece))));
  return h("div", { class: "scroll bare" }, h("table", { class: "plain-table reasons" }, h("thead", {}, head), h("tbody", {}, rows)));
}

function reason(piece) {
  if (piece.source === "pdn") return `${piece.paths.length + piece.more_paths} paths ${fixed(piece.score - piece.direct, 3)}, direct ${fixed(piece.direct, 3)}`;
  if (!piece.because) return piece.source === "popular" ? "it is popular" : "–";
  if (piece.source === "item_interaction") return [named(piece.because), ` leads to ${NEXT[piece.target_type] ?? "it"}`];
  if (piece.source === "led") return [`${fixed(piece.contribution, 3)} of the score from `, named(piece.because)];
  if (piece.source === "two_tower") return [`would lose ${fixed(piece.contribution, 3)} without `, named(piece.because)];
  return ["like ", named(piece.because)];
}

const named = (item) => [h("span", { class: "item-name" }, item.title || item.id), DONE[item.type] ? ` (${DONE[item.type]})` : ""];

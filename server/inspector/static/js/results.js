// What the server answered: how long each stage took, the sources side by side, why, and the calls to copy.

import { copies } from "./copies.js";
import { h, put } from "./dom.js";
import { explanation } from "./explain.js";
import { count, countryName, fixed, itemName, micros } from "./format.js";
import { LACKS, stages } from "./stages.js";
import { empty } from "./states.js";

const FALLBACKS = {
  EMPTY_HISTORY: "The history is empty: the answer is not personal.",
  UNKNOWN_HISTORY: "No item of the history is in this country's catalogue: the answer is not personal.",
  COUNTRY: "The bundle does not have the country: the fallback country answered.",
  SOURCE_FAILED: "An encoder failed: the other sources answered.",
  SOURCE_MISSING: "The bundle lacks a source of the profile: the other sources answered.",
  BACKFILLED: "The sources had fewer candidates than asked for: popularity filled up.",
};

/** Everything about one answer. */
export function results(found, question, facts) {
  const { answer } = found;
  const why = h("div", { class: "why", id: "why" });
  const choose = (candidate, source) => put(why, explanation(candidate, source, question));
  const grid = columns(found, choose);
  if (answer.candidates.length) choose(answer.candidates[0], "");
  else put(why, empty("No candidate: nothing passes the filters."));
  return [
    heading(found, question),
    grid,
    why,
    h("section", { class: "section" }, h("h2", {}, "Where the time went"), stages(found.answer)),
    h("section", { class: "section" }, h("h2", {}, "The same question elsewhere"), copies(found.copies)),
    facts.bundle.version === answer.version ? "" : h("p", { class: "note" }, `Answered by version ${answer.version}.`),
  ];
}

function heading({ answer, elapsed_us: elapsed }, question) {
  const name = countryName(answer.country);
  const told = [
    `profile ${answer.profile}`,
    question.history.length ? `${count(question.history.length)} interactions, ${count(question.history.length - answer.unknown_items)} in the catalogue` : "no history",
    answer.backfilled ? `${count(answer.backfilled)} filled up by popularity` : "",
    `${micros(elapsed)} from here, reasons included`,
  ].filter(Boolean);
  return h(
    "div",
    { class: "answer-head" },
    h("h2", { class: "big" }, `${count(answer.candidates.length)} candidates in ${name || answer.country}`),
    h("p", { class: "meta" }, told.map((text) => h("span", {}, text))),
    answer.fallback ? h("p", { class: "notice warning" }, FALLBACKS[answer.fallback] ?? answer.fallback) : "",
  );
}

function columns({ answer, alone }, choose) {
  const lists = [column("", "Fused", `by ${answer.profile}`, answer.candidates), ...alone.map(({ source, report, candidates }) => column(source, source, why(report, candidates), candidates))];
  const grid = h("div", { class: "columns", role: "group", "aria-label": "Sources side by side. Arrow keys move between candidates." }, lists.map((list) => list.node));

  function mark(id) {
    for (const option of grid.querySelectorAll("[role=option]")) option.classList.toggle("same", option.dataset.id === id);
  }
  function select(option) {
    for (const other of grid.querySelectorAll("[role=option]")) {
      const chosen = other === option;
      other.setAttribute("aria-selected", String(chosen));
      if (chosen) for (const sibling of other.parentElement.children) sibling.tabIndex = sibling === other ? 0 : -1;
    }
    mark(option.dataset.id);
    const list = lists.find((one) => one.node.contains(option));
    choose(list.candidates[Number(option.dataset.place)], list.source);
  }
  grid.addEventListener("click", (event) => { const option = event.target.closest("[role=option]"); if (option) select(option); });
  grid.addEventListener("keydown", (event) => {
    const option = event.target.closest("[role=option]");
    const next = option && neighbour(option, event.key, lists);
    if (event.key === "Enter" || event.key === " ") { if (option) { event.preventDefault(); select(option); } return; }
    if (!next) return;
    event.preventDefault();
    next.focus();
    select(next);
  });
  const first = lists[0].node.querySelector("[role=option]");
  if (first) { first.setAttribute("aria-selected", "true"); mark(first.dataset.id); }
  return grid;
}

function neighbour(option, key, lists) {
  if (key === "ArrowDown") return option.nextElementSibling;
  if (key === "ArrowUp") return option.previousElementSibling;
  if (key === "Home") return option.parentElement.firstElementChild;
  if (key === "End") return option.parentElement.lastElementChild;
  if (key !== "ArrowLeft" && key !== "ArrowRight") return null;
  const filled = lists.filter((list) => list.candidates.length);
  const at = filled.findIndex((list) => list.node.contains(option)) + (key === "ArrowRight" ? 1 : -1);
  const options = filled[at]?.node.querySelectorAll("[role=option]");
  return options ? options[Math.min(Number(option.dataset.place), options.length - 1)] : null;
}

function column(source, title, note, candidates) {
  const head = h("div", { class: "column-head" }, h("h3", { class: "source" }, source ? h("span", { class: `swatch s-${source}` }) : "", title.replaceAll("_", " ")), h("span", { class: "note" }, note));
  const rows = candidates.map((candidate, place) =>
    h(
      "li",
      { role: "option", tabindex: place === 0 ? 0 : -1, "aria-selected": "false", "data-id": candidate.id, "data-place": place, title: itemName(candidate) },
      h("span", { class: "rank" }, candidate.rank ?? place + 1),
      h("span", { class: "candidate" }, itemName(candidate), candidate.evidence.length || source ? "" : h("span", { class: "filled" }, "popular")),
      source ? "" : h("span", { class: "dots", "aria-label": `found by ${candidate.found_by.join(", ")}` }, candidate.found_by.map((name) => h("span", { class: `swatch s-${name}`, title: name }))),
      h("span", { class: "score" }, fixed(candidate.score, source ? 3 : 4)),
    ),
  );
  const list = rows.length ? h("ol", { role: "listbox", "aria-label": `Candidates ${source ? `of ${source}` : "of the fused answer"}` }, rows) : h("p", { class: "empty" }, source ? "Nothing." : "No candidate.");
  return { node: h("section", { class: source ? "column" : "column fused" }, head, list), candidates, source };
}

function why(report, candidates) {
  if (!report) return "did not run";
  const lack = LACKS[report.degradation] ?? "";
  if (candidates.length === 0) return lack || "found nothing";
  return [report.method.replaceAll("_", " "), report.degradation === "EXHAUSTED" ? "" : lack].filter(Boolean).join(", ");
}

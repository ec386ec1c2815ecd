// The table of countries: two hundred of them, filtered, sorted, one chosen.

import { h, put } from "./dom.js";
import { bytes, count, countryName, indexName, share } from "./format.js";

const APPROXIMATE = (index) => index.engine !== "exact" && index.engine !== "paths";

/** The table with its heading; `choose(code)` is called for the country that a person picks. */
export function countryTable(countries, chosen, choose) {
  const state = { chosen, filter: "", key: "items", down: true };
  const columns = columnsOf(countries);
  const body = h("tbody");
  const shown = h("span", { class: "note", role: "status" });
  const heads = columns.map((column) => head(column, state, render));
  const filter = h("input", {
    type: "search", placeholder: "Filter by code or name", "aria-label": "Filter countries", autocomplete: "off",
    oninput: (event) => { state.filter = event.target.value; render(); },
  });

  function pick(code) {
    state.chosen = code;
    for (const row of body.rows) row.setAttribute("aria-selected", String(row.dataset.code === code));
    choose(code);
  }

  function render() {
    const wanted = state.filter.trim().toLowerCase();
    const column = columns.find((one) => one.key === state.key);
    const rows = countries.filter((country) => `${country.code} ${countryName(country.code)}`.toLowerCase().includes(wanted));
    rows.sort((a, b) => compare(column.value(a), column.value(b)) * (state.down ? -1 : 1) || compare(a.code, b.code));
    put(body, ...rows.map((country) => row(country, columns, state, pick)));
    if (rows.length === 0) body.append(h("tr", {}, h("td", { class: "empty", colspan: columns.length }, `No country matches “${state.filter}”`)));
    shown.textContent = rows.length === countries.length ? `${count(rows.length)}` : `${count(rows.length)} of ${count(countries.length)}`;
    heads.forEach((one, place) => {
      const sorted = columns[place].key === state.key;
      one.setAttribute("aria-sort", sorted ? (state.down ? "descending" : "ascending") : "none");
    });
  }

  render();
  return [
    h("div", { class: "section-head" }, h("h2", { id: "countries-title" }, "Countries"), shown, h("div", { class: "filter" }, filter)),
    h(
      "div",
      { class: "scroll countries", tabindex: 0, role: "region", "aria-label": "Countries, scrollable" },
      h("table", { id: "countries" }, h("thead", {}, h("tr", {}, heads)), body),
    ),
  ];
}

function columnsOf(countries) {
  const labels = [...new Set(countries.flatMap((country) => country.indices.map(indexName)))];
  const has = (key) => countries.some((country) => country[key] > 0);
  return [
    { key: "code", name: "Country", value: (country) => country.code },
    { key: "items", name: "Items", number: true, value: (country) => country.items, show: count },
    has("bytes") && { key: "bytes", name: "Size", number: true, value: (country) => country.bytes, show: bytes },
    has("samples") && { key: "samples", name: "Samples", number: true, value: (country) => country.samples, show: count },
    has("merchants") && { key: "merchants", name: "Merchants", number: true, value: (country) => country.merchants, show: count },
    has("categories") && { key: "categories", name: "Categories", number: true, value: (country) => country.categories, show: count },
    ...labels.map(recallColumn),
  ].filter(Boolean);
}

function recallColumn(label) {
  const of = (country) => country.indices.find((index) => indexName(index) === label);
  return {
    key: `recall ${label}`, name: label.replaceAll("_", " "), number: true,
    value: (country) => of(country)?.recall ?? -1,
    cell: (country) => recall(of(country)),
  };
}

function recall(index) {
  if (!index) return h("span", { class: "muted" }, "none");
  if (!APPROXIMATE(index)) return h("span", { class: "muted", title: index.engine === "paths" ? "paths are followed exactly" : "exact search" }, index.engine);
  const under = index.recall < index.recall_target;
  const title = `recall@${index.recall_k}, target ${share(index.recall_target)}, ${index.engine} ${index.space} ef ${index.ef}`;
  return h("span", { class: under ? "bad" : null, title }, share(index.recall));
}

const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);

function head(column, state, render) {
  const sort = () => {
    state.down = state.key === column.key ? !state.down : Boolean(column.number);
    state.key = column.key;
    render();
  };
  return h("th", { scope: "col", class: column.number ? "num" : null }, h("button", { type: "button", onclick: sort }, column.name));
}

function row(country, columns, state, pick) {
  const name = countryName(country.code);
  const button = h("button", { type: "button", class: "row-button", onclick: () => pick(country.code), "aria-controls": "country-details" }, h("b", {}, country.code), name && ` ${name}`);
  const cells = columns.slice(1).map((column) => h("td", { class: "num" }, column.cell ? column.cell(country) : column.show(column.value(country))));
  return h("tr", { "data-code": country.code, "aria-selected": String(country.code === state.chosen), onclick: (event) => event.target.closest("button") ?? pick(country.code) }, h("th", { scope: "row" }, button), cells);
}

// Filters of the question: merchants, categories, prices, items to leave out. Only what the country's catalogue has.

import { get } from "./api.js";
import { combobox } from "./combobox.js";
import { h, newId, put } from "./dom.js";
import { count, itemName } from "./format.js";
import { findItems } from "./items.js";

const LIMIT = 20;

/** The fields, folded; `country()` gives the country's facts. */
export function filterFields(country) {
  const merchants = chips("merchants", "Merchants", country);
  const categories = chips("categories", "Categories", country);
  const excluded = chipList("Leave out", (text, signal) => findItems(country().code, text, signal), (item) => ({ key: item.id, label: itemName(item) }), "Words of a title, a key or an id");
  const lowest = price("Lowest price");
  const highest = price("Highest price");
  const prices = h("div", { class: "two" }, lowest.field, highest.field);
  const lacking = h("p", { class: "note" });
  const active = h("span", { class: "legend-note" });
  const details = h("details", { class: "filters" }, h("summary", {}, "Filters", active), merchants, categories, prices, excluded, lacking);

  function value() {
    return {
      merchants: merchants.keys(), categories: categories.keys(), excluded: excluded.keys(),
      lowest: lowest.value(), highest: highest.value(),
    };
  }

  function reset() {
    for (const each of [merchants, categories, excluded]) each.reset();
    lowest.input.value = highest.input.value = "";
    const { merchants: some, categories: kinds, prices: priced } = country();
    merchants.hidden = !some;
    categories.hidden = !kinds;
    prices.hidden = !priced;
    const without = [!some && "merchants", !kinds && "categories", !priced && "prices"].filter(Boolean);
    put(lacking, without.length ? `This country's catalogue has no ${without.join(" and no ")}.` : "");
    say();
  }

  function say() {
    const { merchants: a, categories: b, excluded: c, lowest: d, highest: e } = value();
    const set = a.length + b.length + c.length + (d !== null || e !== null ? 1 : 0);
    put(active, set ? `${set} set` : "none");
  }
  details.addEventListener("input", say);
  details.addEventListener("chipchange", say);
  return Object.assign(details, { value, reset });
}

function chips(facet, label, country) {
  const find = async (text, signal) => {
    const { names } = await get("names", { country: country().code, facet, q: text, limit: LIMIT }, signal);
    return { options: names.map((one) => ({ value: one.name, label: one.name, note: `${count(one.items)} items` })) };
  };
  return chipList(label, find, (name) => ({ key: name, label: name }), "Any of these");
}

function chipList(label, find, chipOf, placeholder) {
  let chosen = [];
  const list = h("ul", { class: "chips", "aria-label": label });
  const combo = combobox({ label, placeholder, find, take: (value) => { const chip = chipOf(value); if (!chosen.some((one) => one.key === chip.key)) set([...chosen, chip]); } });

  function set(next) {
    chosen = next;
    put(list, chosen.map((chip) => h("li", {}, h("span", {}, chip.label), h("button", { type: "button", class: "quiet", "aria-label": `Remove ${chip.label}`, onclick: () => { set(chosen.filter((one) => one !== chip)); combo.input.focus(); } }, "×"))));
    list.dispatchEvent(new CustomEvent("chipchange", { bubbles: true }));
  }
  return Object.assign(h("div", { class: "chip-field" }, combo, list), { keys: () => chosen.map((chip) => chip.key), reset: () => { combo.clear(); set([]); } });
}

function price(label) {
  const input = h("input", { id: newId("price"), type: "number", min: 0, step: "any", placeholder: "open" });
  const value = () => (input.value.trim() === "" ? null : Number(input.value));
  return { input, value, field: h("div", { class: "field" }, h("label", { for: input.id }, label), input) };
}

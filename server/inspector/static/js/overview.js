// What is loaded: the bundle, its countries and indices, profiles, and how the models did offline.

import { get } from "./api.js";
import { countryTable } from "./countries.js";
import { countryDetails } from "./country.js";
import { h, put } from "./dom.js";
import { ago, bytes, count, fixed, indexName, moment, share } from "./format.js";
import { loading, problem, warning } from "./states.js";
import { sourceTag } from "./tags.js";

export function overview(root, parameters) {
  let asked = 0;
  async function load() {
    const turn = (asked += 1);
    if (!root.hasChildNodes()) put(root, loading("Asking the server what it holds …"));
    try {
      const facts = await get("overview");
      if (turn === asked) draw(root, facts, parameters.get("country"));
    } catch (error) {
      if (turn === asked) put(root, problem(error, () => { root.replaceChildren(); load(); }));
    }
  }
  document.addEventListener("bundlechange", load);
  load();
  return () => {
    asked += 1;
    document.removeEventListener("bundlechange", load);
  };
}

function draw(root, facts, chosen) {
  const { bundle } = facts;
  const details = h("div", { class: "country-details", id: "country-details" });
  const known = facts.countries.map((country) => country.code);
  const first = known.includes(chosen) ? chosen : largest(facts.countries).code;
  const choose = (code) => {
    history.replaceState(null, "", `#/overview?country=${encodeURIComponent(code)}`);
    countryDetails(details, code);
  };
  put(
    root,
    heading(facts),
    bundle.fault ? warning("The bundle's folder is out of reach", `${bundle.fault}. What the server says by gRPC is below; sizes, curves and titles are not.`) : "",
    chosen && !known.includes(chosen) ? warning(`There is no country ${chosen} in this bundle`, `${first} is shown instead.`) : "",
    figures(facts),
    h(
      "div",
      { class: "split section" },
      h("section", { "aria-labelledby": "countries-title" }, countryTable(facts.countries, first, choose)),
      h("section", { "aria-label": "Chosen country" }, details),
    ),
    h("div", { class: "pair section" }, profiles(facts), offline(bundle)),
    h("div", { class: "pair section" }, limits(facts), features(facts)),
  );
  countryDetails(details, first);
}

function heading({ bundle, server }) {
  return [
    h("h1", {}, bundle.name, " ", h("span", { class: "version" }, bundle.version)),
    h(
      "p",
      { class: "meta" },
      h("span", {}, `format ${bundle.format_version}`),
      h("span", {}, `published ${moment(bundle.created_ms)}`),
      h("span", {}, `served for ${ago(server.loaded_ms)}`),
      h("span", {}, `at ${server.address}`),
      bundle.seed === null ? "" : h("span", { title: `data ${bundle.data_fingerprint}` }, `seed ${bundle.seed}, data ${bundle.data_fingerprint.slice(0, 8)}`),
    ),
  ];
}

function figures({ bundle, server, countries }) {
  const items = countries.reduce((sum, country) => sum + country.items, 0);
  const indices = countries.flatMap((country) => country.indices.map((index) => ({ ...index, country: country.code })));
  const sources = new Set(indices.map((index) => index.source));
  const measured = indices.filter((index) => index.engine !== "exact" && index.engine !== "paths");
  const worst = measured.reduce((low, index) => (low === null || index.recall < low.recall ? index : low), null);
  const cells = [
    ["Countries", count(countries.length)],
    ["Items", count(items)],
    ["Sources", count(sources.size), [...sources].join(", ")],
    ["Indices", count(indices.length), `${measured.length} approximate`],
    ["Lowest recall", worst ? share(worst.recall) : "exact", worst ? `${worst.country} ${indexName(worst)}, @${worst.recall_k}` : ""],
    ["Size", bytes(bundle.bytes), bundle.files ? `${count(bundle.files)} files` : ""],
    ["Loaded in", `${fixed(server.load_ms / 1000, 1)} s`],
  ];
  return h("dl", { class: "figures" }, cells.map(([name, value, small]) => h("div", {}, h("dt", {}, name), h("dd", {}, value), small ? h("dd", { class: "small" }, small) : "")));
}

const largest = (countries) => countries.reduce((most, country) => (country.items > most.items ? country : most));

function table(caption, head, rows, wrapping = []) {
  return h(
    "table",
    { class: "plain-table" },
    h("caption", { class: "visually-hidden" }, caption),
    h("thead", {}, h("tr", {}, head.map((name, place) => h("th", { scope: "col", class: place && !wrapping.includes(place) ? "num" : null }, name)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, place) => (place ? h("td", { class: wrapping.includes(place) ? "wrap" : "num" }, cell) : h("th", { scope: "row" }, cell)))))),
  );
}

function profiles({ profiles: all }) {
  const rows = all.map((profile) => [profile.name, h("span", { class: "tags" }, profile.sources.map((name) => sourceTag(name))), profile.fusion.replace("_", " ")]);
  return h("section", {}, h("h2", {}, "Profiles"), h("div", { class: "scroll bare" }, table("Profiles", ["Name", "Sources", "Fusion"], rows, [1, 2])));
}

function offline({ metrics }) {
  const models = Object.keys(metrics);
  const names = [...new Set(models.flatMap((model) => Object.keys(metrics[model])))];
  if (models.length === 0) return h("section", {}, h("h2", {}, "Offline evaluation"), h("p", { class: "note" }, "The bundle states none."));
  const most = Object.fromEntries(names.map((name) => [name, Math.max(...models.map((model) => metrics[model][name] ?? 0))]));
  const rows = models.map((model) => [
    sourceTag(model),
    ...names.map((name) => {
      const value = metrics[model][name];
      if (value === undefined) return "–";
      return h("span", { class: value === most[name] ? "best" : null }, fixed(value, 3));
    }),
  ]);
  return h("section", {}, h("h2", {}, "Offline evaluation"), h("div", { class: "scroll bare" }, table("Offline evaluation", ["Model", ...names], rows)));
}

function limits({ server }) {
  const names = { max_k: "Candidates of a request, k", max_history: "Interactions of a history", max_excluded: "Excluded items", max_batch: "Requests of a batch" };
  const rows = Object.entries(names).map(([key, name]) => [name, count(server.limits[key])]);
  return h("section", {}, h("h2", {}, "Limits"), table("Limits", ["What", "At most"], rows));
}

function features({ features: all, bundle }) {
  const encoders = bundle.encoders.length ? h("p", { class: "note" }, `Encoders: ${bundle.encoders.join(", ")}`) : "";
  if (all.length === 0) return h("section", {}, h("h2", {}, "Features"), h("p", { class: "note" }, "No encoder takes features from callers."), encoders);
  return h("section", {}, h("h2", {}, "Features"), table("Features", ["Name", "Kind"], all.map((each) => [each.name, each.kind]), [1]), encoders);
}

// The form of the query bench: who asks, with which history, for what.

import { get } from "./api.js";
import { combobox } from "./combobox.js";
import { h, newId, put } from "./dom.js";
import { filterFields } from "./filters.js";
import { count, countryName } from "./format.js";
import { historyList } from "./history.js";
import { findItems } from "./items.js";

const MAX_K = 200;
const LIMIT = 20;

/** The form; `ask(question)` is called with the JSON of POST /api/query. */
export function questionForm(facts, ask) {
  const state = { country: facts.countries[0]?.code ?? "", user: "", asked: false };
  const most = facts.countries.reduce((a, b) => (b.items > a.items ? b : a));
  state.country = most.code;
  const events = historyList(() => { state.user = ""; describe(); });
  const filters = filterFields(() => country());
  const userNote = h("p", { class: "note", role: "status" });
  const submit = h("button", { class: "button primary", type: "submit" }, "Ask the server ", h("kbd", {}, "Ctrl ↵"));

  const country = () => facts.countries.find((one) => one.code === state.country);
  const countryField = select("Country", facts.countries.map((one) => [one.code, [one.code, countryName(one.code)].filter(Boolean).join(" ")]), state.country, setCountry);
  const profileField = select("Profile", [...facts.profiles].map((one) => [one.name, one.name]), facts.profiles[0]?.name ?? "", () => {});
  const k = h("input", { id: newId("k"), type: "number", min: 1, max: Math.min(MAX_K, facts.server.limits.max_k), value: 10, required: true });
  const exclude = h("input", { id: newId("exclude"), type: "checkbox", checked: true });
  const users = combobox({ label: "Sample user", placeholder: "Any part of the user's id", keepText: true, find: findUsers, take: setUser });
  const items = combobox({ label: "Add an item", placeholder: "Words of a title, a key or an id", find: (text, signal) => findItems(state.country, text, signal), take: (item) => events.add(item) });

  function setCountry(code) {
    state.country = code;
    state.user = "";
    users.clear();
    events.set([]);
    filters.reset();
    describe();
  }

  function describe() {
    const one = country();
    const said = state.user ? `The history is that of sample user ${state.user}.` : one.samples ? `${count(one.samples)} sample users, ${count(one.items)} items.` : `No sample users, ${count(one.items)} items.`;
    put(userNote, said);
  }

  async function findUsers(text, signal) {
    const { users: found, total, truncated } = await get("users", { country: state.country, q: text, limit: LIMIT }, signal);
    const options = found.map((one) => ({ value: one.user, label: one.user, note: `${count(one.interactions)} interactions` }));
    if (total === 0) return { options, hint: "The bundle has no sample users of this country" };
    return { options, hint: truncated ? "Only the first 16 MiB of sample users are listed" : "" };
  }

  async function setUser(user) {
    try {
      const { history, left_out: left } = await get("user", { country: state.country, user });
      events.set(history);
      state.user = user;
      describe();
      if (left) userNote.append(` The server takes no more than ${count(history.length)} interactions; ${count(left)} older ones are left out.`);
    } catch (error) {
      put(userNote, error.message);
    }
  }

  function question() {
    return {
      country: state.country, k: Number(k.value), profile: profileField.control.value, exclude_history: exclude.checked,
      history: events.value(), user: state.user, ...filters.value(),
    };
  }

  async function restore(parameters) {
    const code = parameters.get("country");
    if (!code || !facts.countries.some((one) => one.code === code)) return false;
    countryField.control.value = code;
    setCountry(code);
    if (parameters.get("k")) k.value = parameters.get("k");
    if (facts.profiles.some((one) => one.name === parameters.get("profile"))) profileField.control.value = parameters.get("profile");
    const user = parameters.get("user");
    if (user) {
      await setUser(user);
      users.input.value = user;
    }
    for (const part of parameters.getAll("item")) {
      const [type, id] = part.split(":");
      const found = await get("items", { country: code, q: `id:${id}`, limit: 1 });
      if (found.items[0]) events.add(found.items[0], type);
    }
    return Boolean(user || parameters.has("item") || parameters.has("k"));
  }

  const form = h(
    "form",
    { class: "question", "aria-label": "Question", onsubmit: (event) => { event.preventDefault(); ask(question()); }, onkeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.requestSubmit(); } } },
    h("fieldset", {}, h("legend", {}, "Who"), countryField, users, userNote),
    h("fieldset", {}, h("legend", {}, "History", h("span", { class: "legend-note" }, "oldest first")), events, items),
    h("fieldset", {}, h("legend", {}, "What"), h("div", { class: "two" }, profileField, h("div", { class: "field" }, h("label", { for: k.id }, "k"), k)), h("div", { class: "check" }, exclude, h("label", { for: exclude.id }, "Leave out items of the history")), filters),
    h("div", { class: "actions" }, submit, h("button", { class: "button", type: "button", onclick: () => setCountry(state.country) }, "Clear")),
  );
  describe();
  filters.reset();
  return Object.assign(form, { question, restore, busy: (yes) => { submit.disabled = yes; } });
}

function select(label, options, value, changed) {
  const control = h("select", { id: newId("select"), onchange: (event) => changed(event.target.value) }, options.map(([key, name]) => h("option", { value: key }, name)));
  control.value = value;
  return Object.assign(h("div", { class: "field" }, h("label", { for: control.id }, label), control), { control });
}

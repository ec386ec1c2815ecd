// A search field with a list of suggestions, after the ARIA pattern: arrows move, Enter takes, Escape closes.

import { debounced, h, newId, put } from "./dom.js";
import { headline } from "./api.js";

const WAIT_MS = 120;

/**
 * label: for people. find(text, signal): a promise of {options: [{label, note, value}], hint}. take(value): what Enter does.
 * Returns the field with `input` and `clear()`.
 */
export function combobox({ label, placeholder = "", find, take, keepText = false }) {
  const id = newId("combo");
  const list = h("ul", { id: `${id}-list`, role: "listbox", "aria-label": label, class: "options", hidden: true });
  const hint = h("p", { class: "options-hint", role: "status" });
  const input = h("input", {
    id, type: "text", role: "combobox", placeholder, autocomplete: "off", spellcheck: "false", maxlength: 200,
    "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": `${id}-list`,
  });
  const state = { options: [], active: -1, asking: null };

  function close() {
    state.asking?.abort();
    list.hidden = true;
    delete list.dataset.query;
    put(hint);
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function activate(place) {
    state.active = place;
    [...list.children].forEach((option, number) => option.setAttribute("aria-selected", String(number === place)));
    if (place < 0) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", list.children[place].id);
    return list.children[place].scrollIntoView({ block: "nearest" });
  }

  function choose(place) {
    const option = state.options[place];
    if (!option) return;
    input.value = keepText ? option.label : "";
    close();
    take(option.value);
  }

  async function search() {
    state.asking?.abort();
    const asking = (state.asking = new AbortController());
    const query = input.value;
    try {
      const { options, hint: said = "" } = await find(query, asking.signal);
      if (asking.signal.aborted) return;
      // an answer to what is shown already leaves the chosen option alone
      if (list.dataset.query === query && !list.hidden) return;
      list.dataset.query = query;
      state.options = options;
      put(list, options.map((option, place) =>
        h("li", { id: `${id}-${place}`, role: "option", "aria-selected": "false", onpointerdown: (event) => { event.preventDefault(); choose(place); } },
          h("span", { class: "option-label" }, option.label), option.note && h("span", { class: "option-note" }, option.note))));
      list.hidden = options.length === 0;
      input.setAttribute("aria-expanded", String(options.length > 0));
      put(hint, said || (options.length === 0 ? "Nothing found" : ""));
      activate(-1);
    } catch (error) {
      if (error.name === "AbortError") return;
      close();
      put(hint, `${headline(error)}: ${error.message}`);
    }
  }

  const searchSoon = debounced(search, WAIT_MS);
  input.addEventListener("input", searchSoon);
  input.addEventListener("focus", search);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const last = state.options.length - 1;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) return void search();
      const next = event.key === "ArrowDown" ? state.active + 1 : state.active - 1;
      activate(next > last ? 0 : next < 0 ? last : next);
    } else if (event.key === "Enter" && !(event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!list.hidden) choose(Math.max(state.active, 0));
    } else if (event.key === "Escape") close();
  });
  const field = h("div", { class: "field combo" }, h("label", { for: id }, label), h("div", { class: "combo-box" }, input, list), hint);
  return Object.assign(field, { input, clear: () => { input.value = ""; close(); } });
}

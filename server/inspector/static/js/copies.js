// The equivalent calls, in tabs, to copy.

import { h, newId } from "./dom.js";

const TABS = [["query", "shortlist query"], ["grpcurl", "grpcurl"], ["python", "Python"]];
let chosen = "query";

/** Tabs with the three texts. */
export function copies(texts) {
  const id = newId("copies");
  const code = h("code", {}, texts[chosen]);
  const panel = h("div", { role: "tabpanel", id: `${id}-panel`, tabindex: 0, class: "code" }, h("pre", {}, code));
  const said = h("span", { class: "note", role: "status" });
  const tabs = TABS.map(([key, name]) => h("button", { type: "button", role: "tab", id: `${id}-${key}`, "aria-controls": `${id}-panel`, onclick: () => show(key), onkeydown: (event) => step(event, key) }, name));

  function show(key) {
    chosen = key;
    code.textContent = texts[key];
    said.textContent = "";
    TABS.forEach(([one], place) => {
      tabs[place].setAttribute("aria-selected", String(one === key));
      tabs[place].tabIndex = one === key ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", `${id}-${key}`);
  }

  function step(event, key) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const place = (TABS.findIndex(([one]) => one === key) + by + TABS.length) % TABS.length;
    show(TABS[place][0]);
    tabs[place].focus();
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(code.textContent);
      said.textContent = "Copied";
    } catch {
      // not allowed here: select it instead, so that the keyboard can
      getSelection().selectAllChildren(code);
      said.textContent = "Selected: press Ctrl C";
    }
  }

  show(chosen);
  return h("div", { class: "copies" }, h("div", { class: "tabs-row" }, h("div", { class: "tabs", role: "tablist", "aria-label": "Equivalent calls" }, tabs), said, h("button", { type: "button", class: "button", onclick: copy }, "Copy")), panel);
}

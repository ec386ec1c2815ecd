// A history to build: items in order, each with what the user did.

import { h, put } from "./dom.js";
import { count, itemName } from "./format.js";

const TYPES = ["UNSPECIFIED", "VIEW", "CLICK", "FAVORITE", "CART", "PURCHASE"];
const NAMES = { UNSPECIFIED: "any", VIEW: "view", CLICK: "click", FAVORITE: "favourite", CART: "cart", PURCHASE: "purchase" };

/** The list; `changed()` is called when a person changes it. */
export function historyList(changed) {
  let events = [];
  const list = h("ol", { class: "events", "aria-label": "History, oldest first" });
  const summary = h("p", { class: "note", role: "status" });

  function draw(focus = null) {
    put(list, events.map((event, place) => row(event, place)));
    put(summary, events.length === 0 ? "Empty: what a new user gets." : `${count(events.length)} interaction${events.length === 1 ? "" : "s"}`);
    if (focus) (list.children[focus.place]?.querySelector(`[data-act="${focus.act}"]:not(:disabled)`) ?? list.children[Math.min(focus.place, events.length - 1)]?.querySelector("button:not(:disabled)"))?.focus();
  }

  function edit(change, focus) {
    change();
    changed();
    draw(focus);
  }

  function move(place, by) {
    edit(() => events.splice(place + by, 0, ...events.splice(place, 1)), { place: place + by, act: by < 0 ? "up" : "down" });
  }

  function row(event, place) {
    const name = itemName(event.item);
    const button = (act, label, sign, action, disabled = false) => h("button", { type: "button", class: "quiet", "data-act": act, "aria-label": `${label} ${name}`, title: label, disabled, onclick: action }, sign);
    const type = h("select", { "aria-label": `What the user did with ${name}`, onchange: (changedTo) => edit(() => { events[place] = { ...event, type: changedTo.target.value }; }, { place, act: "type" }), "data-act": "type" }, TYPES.map((one) => h("option", { value: one }, NAMES[one])));
    type.value = event.type;
    return h(
      "li",
      { class: event.item.known === false ? "unknown" : null },
      h("span", { class: "event-name", title: event.item.known === false ? `${name} is not in this country's catalogue` : name }, name),
      type,
      h("span", { class: "event-acts" }, button("up", "Move up", "↑", () => move(place, -1), place === 0), button("down", "Move down", "↓", () => move(place, 1), place === events.length - 1), button("remove", "Remove", "×", () => edit(() => events.splice(place, 1), { place, act: "remove" }))),
    );
  }

  draw();
  return Object.assign(h("div", { class: "history" }, summary, list), {
    set(next) { events = [...next]; draw(); list.scrollTop = list.scrollHeight; },
    add(item, type = events.at(-1)?.type ?? "VIEW") {
      edit(() => events.push({ item, type: TYPES.includes(type) ? type : "VIEW" }), null);
      list.scrollTop = list.scrollHeight;
    },
    value: () => events.map((event) => ({ item_id: event.item.id, type: event.type })),
  });
}

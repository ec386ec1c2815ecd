// What stands where content would: loading, empty, and what went wrong.

import { headline } from "./api.js";
import { h } from "./dom.js";

export const loading = (text) => h("p", { class: "loading", role: "status" }, text);

export const empty = (text) => h("p", { class: "empty" }, text);

export function problem(error, retry = null) {
  return h(
    "div",
    { class: "notice error", role: "alert" },
    h("strong", {}, headline(error)),
    h("p", {}, error.message),
    (error.fields ?? []).map((fault) => h("p", {}, h("code", {}, fault.field), ` ${fault.description}`)),
    retry && h("button", { class: "button", type: "button", onclick: retry }, "Try again"),
  );
}

export const warning = (title, text) => h("div", { class: "notice warning" }, h("strong", {}, title), h("p", {}, text));

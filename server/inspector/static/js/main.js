// The frame: which view is shown, and whether the server answers.

import { get, headline } from "./api.js";
import { bench } from "./bench.js";
import { h, put } from "./dom.js";
import { ago } from "./format.js";
import { live } from "./live.js";
import { overview } from "./overview.js";

const VIEWS = { overview: ["Overview", overview], live: ["Live", live], bench: ["Query bench", bench] };
const POLL_MS = 4000;
const main = document.getElementById("main");
const status = document.getElementById("status");
let leave = () => {};
let served = null;

function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { name: path in VIEWS ? path : "overview", parameters: new URLSearchParams(query) };
}

function show({ keepFocus = false } = {}) {
  const { name, parameters } = route();
  leave();
  const [title, view] = VIEWS[name];
  document.title = `${title} · Shortlist inspector`;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const root = h("div", { class: `view view-${name}` });
  put(main, root);
  leave = view(root, parameters) ?? (() => {});
  if (!keepFocus) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function say(kind, text) {
  const said = status.textContent;
  if (said === text && status.dataset.kind === kind) return;
  status.dataset.kind = kind;
  put(status, h("span", { class: `dot ${kind}` }), h("span", { class: "status-text", title: text }, text));
}

async function watch() {
  try {
    const now = await get("status");
    const key = `${now.name}/${now.version}`;
    say("good", `${key}, ${ago(now.loaded_ms)}`);
    // a reload: what is shown is of a bundle that no longer answers
    if (served !== null && served !== key) document.dispatchEvent(new CustomEvent("bundlechange"));
    served = key;
  } catch (error) {
    say("bad", headline(error));
    served = "";
  }
}

addEventListener("hashchange", () => show());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
show({ keepFocus: true });
watch();
setInterval(() => document.visibilityState === "visible" && watch(), POLL_MS);

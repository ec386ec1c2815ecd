// The last quarter of an hour: calls, latency, recall, fallbacks, and the stages of the last minute.

import { get } from "./api.js";
import { lineChart } from "./charts.js";
import { h, put } from "./dom.js";
import { count, fixed, micros, share } from "./format.js";
import { loading, problem, warning } from "./states.js";
import { sourceTag } from "./tags.js";

const EVERY_MS = 2000;
const WINDOWS = [["1 min", 60], ["5 min", 300], ["15 min", 900]];
const REASONS = ["accent", "warn", "two_tower", "item_interaction", "pdn", "popular"];
let window_s = 300;

export function live(root) {
  const state = { left: false, paused: false, timer: 0, charts: null };

  async function tick() {
    clearTimeout(state.timer);
    try {
      const figures = await get("live");
      if (state.left) return;
      state.charts ??= frame(root, state);
      state.charts.update(figures);
    } catch (error) {
      if (state.left) return;
      state.charts?.destroy();
      state.charts = null;
      put(root, problem(error, tick));
    }
    if (!state.left && !state.paused) state.timer = setTimeout(tick, EVERY_MS);
  }

  const restyle = () => state.charts?.restyle();
  const again = () => document.visibilityState === "visible" && !state.paused && tick();
  document.addEventListener("themechange", restyle);
  document.addEventListener("visibilitychange", again);
  state.tick = tick;
  put(root, loading("Reading the server's metrics …"));
  tick();
  return () => {
    state.left = true;
    clearTimeout(state.timer);
    document.removeEventListener("themechange", restyle);
    document.removeEventListener("visibilitychange", again);
    state.charts?.destroy();
  };
}

function frame(root, state) {
  let last = null;
  const notice = h("div", { class: "live-notice" });
  const charts = {
    calls: lineChart({ title: "Calls per second", format: (value) => fixed(value, value < 10 ? 1 : 0) }),
    latency: lineChart({ title: "Time in the handler", format: (value) => time(value, last?.longest_us), axis: micros }),
    recall: lineChart({ title: "Live recall", format: (value) => share(value), top: 1, empty: "The server measures no live recall yet: it needs real calls, and a share of them to be judged." }),
    fallbacks: lineChart({ title: "Fallbacks per second", format: (value) => fixed(value, value < 10 ? 1 : 0), empty: "No fallback in this window." }),
  };
  const stages = h("div", { class: "section" });
  const worst = h("div", { class: "section" });
  const buttons = WINDOWS.map(([name, seconds]) => h("button", { type: "button", class: "button", "aria-pressed": String(seconds === window_s), onclick: () => { window_s = seconds; buttons.forEach((one, place) => one.setAttribute("aria-pressed", String(WINDOWS[place][1] === seconds))); if (last) update(last); } }, name));
  const pause = h("button", { type: "button", class: "button", "aria-pressed": "false", onclick: () => { state.paused = !state.paused; pause.setAttribute("aria-pressed", String(state.paused)); if (!state.paused) state.tick(); } }, "Pause");
  const workers = h("span", { class: "note" });

  put(
    root,
    h("div", { class: "live-head" }, h("h1", {}, "Live"), workers, h("div", { class: "segmented", role: "group", "aria-label": "Window" }, buttons), pause),
    notice,
    h("div", { class: "charts" }, Object.values(charts).map((chart) => chart.node)),
    stages,
    worst,
  );

  function update(figures) {
    last = figures;
    put(notice, trouble(figures));
    put(workers, figures.workers ? `${count(figures.workers)} worker${figures.workers === 1 ? "" : "s"}` : "");
    const { series } = figures;
    const range = [Date.now() / 1000 - window_s, Date.now() / 1000];
    const failing = series.errors.some((value) => value > 0);
    charts.calls.update(range, series.time, [{ name: "all", values: series.calls, color: "accent" }, failing && { name: "errors", values: series.errors, color: "bad" }].filter(Boolean));
    charts.latency.update(range, series.time, [{ name: "p50", values: series.p50_us, color: "accent" }, { name: "p99", values: series.p99_us, color: "pdn" }]);
    charts.recall.update(range, series.time, Object.entries(series.recall).map(([name, values]) => ({ name, values, color: name })));
    charts.fallbacks.update(range, series.time, Object.entries(series.fallbacks).map(([name, values], place) => ({ name: name.replaceAll("_", " "), values, color: REASONS[place % REASONS.length] })));
    put(stages, h("h2", {}, "Stages of the last minute"), stageTable(figures.stages, figures.longest_us));
    put(worst, figures.worst_recall.length ? [h("h2", {}, "Lowest live recall"), recallTable(figures.worst_recall)] : "");
  }

  return {
    update,
    restyle: () => Object.values(charts).forEach((chart) => chart.restyle()),
    destroy: () => Object.values(charts).forEach((chart) => chart.destroy()),
  };
}

function trouble({ metrics, fault, series }) {
  if (!metrics) return warning("The server has no metrics endpoint", "Set metrics.port to a port to see live figures.");
  if (fault) return warning("The metrics cannot be read", `${fault}. What is drawn ends where they could be.`);
  if (series.time.length === 0) return h("p", { class: "note", role: "status" }, "The first figures come in a few seconds.");
  return "";
}

/** What lies above the last bound of the server's histograms is only known to be longer. */
const time = (value, longest) => (longest && value >= longest ? `≥ ${micros(longest)}` : micros(value));

function stageTable(rows, longest) {
  if (rows.length === 0) return h("p", { class: "note" }, "No calls.");
  const most = Math.max(...rows.map((row) => row.mean_us));
  const head = h("tr", {}, ["Stage", "Source"].map((name) => h("th", { scope: "col" }, name)), ["Per second", "Mean", "p50", "p99"].map((name) => h("th", { scope: "col", class: "num" }, name)), h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "Mean as a bar")));
  const order = ["decode", "encode", "search", "fuse", "reply"];
  const sorted = [...rows].sort((a, b) => order.indexOf(a.stage) - order.indexOf(b.stage) || b.mean_us - a.mean_us);
  const body = sorted.map((row) => h("tr", {}, h("th", { scope: "row" }, row.stage), h("td", {}, row.source ? sourceTag(row.source) : h("span", { class: "muted" }, "whole answer")), h("td", { class: "num" }, fixed(row.per_s, 1)), h("td", { class: "num" }, micros(row.mean_us)), [row.p50_us, row.p99_us].map((value) => h("td", { class: "num" }, time(value, longest))), h("td", { class: "meter-cell" }, h("meter", { min: 0, max: most, value: row.mean_us, "aria-hidden": "true" }))));
  return h("div", { class: "scroll bare" }, h("table", { class: "plain-table" }, h("thead", {}, head), h("tbody", {}, body)));
}

function recallTable(rows) {
  const head = h("tr", {}, h("th", { scope: "col" }, "Country"), h("th", { scope: "col" }, "Source"), h("th", { scope: "col", class: "num" }, "Recall"));
  return h("table", { class: "plain-table narrow" }, h("thead", {}, head), h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.country), h("td", {}, sourceTag(row.source)), h("td", { class: "num" }, share(row.recall))))));
}

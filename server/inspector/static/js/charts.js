// Lines over time with uPlot, in the page's colours; the newest values stand as text above, which is what is read aloud.

import { h, put } from "./dom.js";
import { empty } from "./states.js";

const HEIGHT = 190;
const { uPlot } = globalThis;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim() || getComputedStyle(document.documentElement).getPropertyValue("--accent").trim();

/** A colour of the page that a canvas understands: light-dark() is resolved by an element. */
function resolved(name) {
  const probe = h("span", { class: `probe c-${name}` });
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value || color(name);
}

/** One chart; `update(range, times, series)` draws series of {name, values, color} over `range` in seconds. */
export function lineChart({ title, format, axis = format, top = null, empty: emptyText = "Nothing was measured in this window." }) {
  const legend = h("div", { class: "chart-legend" });
  const area = h("div", { class: "chart-area" });
  const node = h("section", { class: "chart", "aria-label": title }, h("div", { class: "chart-head" }, h("h2", {}, title), legend), area);
  let plot = null;
  let shown = "";
  let latest = null;
  const size = new ResizeObserver(() => plot?.setSize({ width: area.clientWidth, height: HEIGHT }));
  size.observe(area);

  function clear() {
    plot?.destroy();
    plot = null;
    shown = "";
  }

  function update(range, times, series) {
    latest = [range, times, series];
    const first = times.findIndex((time) => time >= range[0]);
    const kept = first < 0 ? [] : times.slice(first);
    const drawn = series.map((one) => ({ ...one, values: first < 0 ? [] : one.values.slice(first) })).filter((one) => one.values.some((value) => value !== null));
    put(legend, drawn.map((one) => h("span", { class: "key" }, h("span", { class: `line c-${one.color}` }), one.name, " ", h("b", {}, now(one.values, format)))));
    if (drawn.length === 0) {
      clear();
      put(area, empty(emptyText));
      return;
    }
    const names = drawn.map((one) => one.name).join("\n");
    const data = [kept, ...drawn.map((one) => one.values)];
    if (plot && names === shown) {
      plot.setData(data, false);
      plot.setScale("x", { min: range[0], max: range[1] });
      return;
    }
    clear();
    area.replaceChildren();
    plot = new uPlot(options(drawn, range, axis, top, area.clientWidth), data, area);
    shown = names;
  }

  function restyle() {
    if (!latest) return;
    clear();
    update(...latest);
  }

  return { node, update, restyle, destroy: () => { size.disconnect(); clear(); } };
}

function now(values, format) {
  const value = values.at(-1);
  return value === null || value === undefined ? "–" : format(value);
}

function options(series, range, format, top, width) {
  const [ink, line] = [resolved("ink-3"), resolved("line")];
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: ink, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    padding: [8, 20, 0, 0],
    scales: {
      x: { time: true, range: (self, low, high) => (low === high || low === null ? range : [low, high]), min: range[0], max: range[1] },
      y: { range: (self, low, high) => scaleOf(low, high, top) },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 28, space: 56, values: (self, ticks) => ticks.map((tick) => new Date(tick * 1000).toTimeString().slice(0, tick % 60 ? 8 : 5)) },
      { ...axis, size: 58, space: 36, values: (self, ticks) => ticks.map(format) },
    ],
    series: [{}, ...series.map((one) => ({ label: one.name, stroke: resolved(one.color), width: 1.5, points: { show: false }, spanGaps: false }))],
  };
}

/** From 0 up, but for shares, which lie close below 1. */
function scaleOf(low, high, top) {
  if (top !== null) return [Math.max(0, Math.floor((low ?? 0) * 20 - 0.5) / 20), top];
  return [0, (high || 1) * 1.15];
}

// Numbers, times and names as people read them.

const whole = new Intl.NumberFormat("en");
const regions = new Intl.DisplayNames(["en"], { type: "region", fallback: "none" });

export const count = (value) => whole.format(value);

/** A number with `digits` after the point. */
export const fixed = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : "–");

/** 0.9939, without rounding up to a 1 that it is not. */
export const share = (value) => (value >= 1 ? "1.000" : Math.min(value, 0.9999).toFixed(3));

export function bytes(value) {
  if (value < 0) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  let size = value;
  while (size >= 1000 && power < units.length - 1) {
    size /= 1000;
    power += 1;
  }
  return `${size >= 100 || power === 0 ? Math.round(size) : size.toFixed(1)} ${units[power]}`;
}

/** Microseconds as µs or ms. */
export const micros = (value) => (value >= 1000 ? `${(value / 1000).toFixed(value >= 100000 ? 0 : value >= 10000 ? 1 : 2)} ms` : `${Math.round(value)} µs`);

export function ago(ms) {
  const seconds = Math.max(0, Math.round((Date.now() - ms) / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** 2026-11-26 05:40 UTC */
export const moment = (ms) => `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;

/** The name of a country code, or "" where the code is none of ISO's. */
export function countryName(code) {
  try {
    return regions.of(code) ?? "";
  } catch {
    return "";
  }
}

export const itemName = (item) => item.title || item.key || item.id;

/** "led", "item_interaction purchase" */
export const indexName = (index) => (index.type ? `${index.source} ${index.type.toLowerCase()}` : index.source);

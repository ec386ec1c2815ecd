// Suggestions for items of a country, by the words of their titles.

import { get } from "./api.js";
import { count, itemName } from "./format.js";

const LIMIT = 20;

/** Suggestions for items of a country. */
export async function findItems(country, text, signal) {
  const { items, found, complete } = await get("items", { country, q: text, limit: LIMIT }, signal);
  const options = items.map((item) => ({ value: item, label: itemName(item), note: item.title && item.key ? item.key : "" }));
  if (found <= items.length) return { options };
  return { options, hint: text.trim() ? `The best ${items.length} of ${complete ? "" : "at least "}${count(found)}` : "The most popular" };
}

import { empty } from "./states.js";
export function bench(root) { root.replaceChildren(empty("")); }

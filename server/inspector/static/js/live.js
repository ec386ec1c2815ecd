import { empty } from "./states.js";
export function live(root) { root.replaceChildren(empty("")); }

// A source by its colour and name.

import { h } from "./dom.js";

export const sourceTag = (name, label = name) => h("span", { class: "source" }, h("span", { class: `swatch s-${name}` }), label);

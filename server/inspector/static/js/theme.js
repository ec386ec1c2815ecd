// A classic script in the head, so that the chosen theme is there before anything is drawn.
"use strict";
(() => {
  const order = ["auto", "light", "dark"];
  const root = document.documentElement;
  let current = "auto";
  try {
    const stored = localStorage.getItem("shortlist-theme");
    if (order.includes(stored)) current = stored;
  } catch {
    // a browser that keeps nothing: the theme is the system's at every visit
  }
  const apply = () => {
    if (current === "auto") delete root.dataset.theme;
    else root.dataset.theme = current;
  };
  const show = () => {
    const button = document.getElementById("theme");
    document.getElementById("theme-name").textContent = current;
    button.setAttribute("aria-label", `Theme: ${current}. Change it`);
  };
  const changed = () => document.dispatchEvent(new CustomEvent("themechange"));
  apply();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  document.addEventListener("DOMContentLoaded", () => {
    show();
    document.getElementById("theme").addEventListener("click", () => {
      current = order[(order.indexOf(current) + 1) % order.length];
      try {
        localStorage.setItem("shortlist-theme", current);
      } catch {
        // as above
      }
      apply();
      show();
      changed();
    });
  });
})();

// That scripts are on, and the theme that was chosen, before anything is drawn. Runs in the head, so no module.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // A browser that keeps nothing follows the system.
  }
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const tell = () => document.dispatchEvent(new CustomEvent("themechange"));

  document.addEventListener("DOMContentLoaded", () => {
    const toggle = document.getElementById("theme-toggle");
    const show = () => toggle.setAttribute("aria-pressed", String(isDark()));
    toggle.hidden = false;
    show();
    toggle.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try {
        localStorage.setItem("theme", root.dataset.theme);
      } catch {
        // It holds for this page then.
      }
      show();
      tell();
    });
    dark.addEventListener("change", () => {
      show();
      tell();
    });
  });
})();

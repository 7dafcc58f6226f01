/** Light or dark: as the system says, until a person says otherwise. */

import { byId, setText } from "./dom.js";

const KEY = "plimsoll-theme";

export function start(onChange) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = stored();

  function apply() {
    const isDark = chosen ? chosen === "dark" : system.matches;
    if (chosen) document.documentElement.dataset.theme = chosen;
    // What it switches to: a name that changes needs no pressed state, which would contradict it.
    setText("theme", isDark ? "Switch to light" : "Switch to dark");
    onChange();
  }

  byId("theme").addEventListener("click", () => {
    const isDark = chosen ? chosen === "dark" : system.matches;
    chosen = isDark ? "light" : "dark";
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // Without storage it lasts until the page is left.
    }
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}

function stored() {
  try {
    const theme = localStorage.getItem(KEY);
    return theme === "light" || theme === "dark" ? theme : null;
  } catch {
    return null;
  }
}

const probe = document.createElement("i");

/** A colour of the style sheet in the present theme, for the canvas. */
export function colour(variable) {
  if (!probe.isConnected) {
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(${variable})`;
  return getComputedStyle(probe).color;
}

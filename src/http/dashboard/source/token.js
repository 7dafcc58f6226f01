/** Asks for the token when the server wants one. */

import { open } from "./dialog.js";
import { h } from "./dom.js";

/** Resolves to what was typed, or to null. */
export function ask(wasRefused) {
  return new Promise((resolve) => {
    const input = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "token-words" });
    const words = wasRefused ? "The server did not take the last one. " : "";
    open({
      title: "A token is needed",
      body: [
        h("p", { id: "token-words" }, `${words}This server answers only those who have its token. It is kept for this tab, until the tab is closed.`),
        h("label", { class: "field" }, h("span", {}, "Token"), input),
      ],
      confirm: "Use this token",
      focus: input,
      onConfirm: () => {
        const given = input.value.trim();
        if (!given) {
          input.focus();
          return false;
        }
        resolve(given);
        return true;
      },
      onCancel: () => resolve(null),
    });
  });
}

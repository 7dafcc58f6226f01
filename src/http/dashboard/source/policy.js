/** The policy as a form. Only what was changed is sent; a fault stands at its field. */

import { get, post } from "./api.js";
import * as dialog from "./dialog.js";
import { byId, h } from "./dom.js";
import { tell } from "./actions.js";
import { duration, isNumber, percent } from "./format.js";

const TIMES = [
  ["cooldown_seconds", "Cooldown, in seconds", "The least time between two restarts."],
  ["budget_per_hour", "Restarts an hour, at most", "1 to 1000. When they are used up, load is shed instead."],
  ["sustained_seconds", "Sustained for, in seconds", "How long the figure has to stay above the line."],
  ["horizon_seconds", "Horizon, in seconds", "A limit further away than this is left to time. Empty: restarts even if nothing grows."],
  ["check_interval_seconds", "Judged every, in seconds", "0: at every look."],
  ["drain_deadline_seconds", "Drain deadline, in seconds", "How long open requests are waited for."],
];

export function start(known) {
  byId("policy").addEventListener("click", async () => {
    try {
      known.status = await get("auto-restart/status");
    } catch (problem) {
      if (!known.status) return void tell("Policy", () => Promise.reject(problem));
    }
    edit(known.status.policy);
  });
}

/** One labelled input with its help and the place for a fault. */
function field(name, label, help, input) {
  const id = `policy-${name.replaceAll(".", "-")}`;
  input.id = id;
  input.name = name;
  input.setAttribute("aria-describedby", help ? `${id}-help ${id}-fault` : `${id}-fault`);
  return h(
    "div",
    { class: "field", "data-field": name },
    h("label", { for: id }, label),
    input,
    help ? h("span", { id: `${id}-help`, class: "help" }, help) : null,
    h("span", { id: `${id}-fault`, class: "fault" }),
  );
}

const number = (value, step = "any") => h("input", { type: "number", min: "0", step, inputmode: "decimal", value: value == null ? "" : String(value) });

/** Percentages without the noise of binary fractions. */
const asPercent = (ratio) => (isNumber(ratio) ? String(Math.round(ratio * 1e6) / 1e4) : "");

function edit(policy) {
  const [, code] = /^exit:(\d+)$/.exec(policy.restart ?? "") ?? [];
  const ways = [
    ["", "never"],
    ["exec", "in place (exec)"],
    ["abort", "abort, with a core dump"],
    ["exit", "end with a code"],
  ];
  const chosen = code === undefined ? (policy.restart ?? "") : "exit";
  const way = h("select", {}, ways.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  const exit = h("input", { type: "number", min: "0", max: "255", step: "1", inputmode: "numeric", value: code ?? "1", "aria-label": "Exit code" });
  const showCode = () => {
    exit.hidden = way.value !== "exit";
  };
  way.addEventListener("change", showCode);
  showCode();
  const how = () => (way.value === "exit" ? `exit:${exit.value}` : way.value || null);
  const before = how();
  const restartField = field("restart", "How it restarts", null, way);
  way.after(exit);

  const levelInputs = [];
  const levelRows = ["optimise", "restart", "critical"].map((name) =>
    h(
      "div",
      { class: "levelrow" },
      ["enter", "leave"].map((end) => {
        const input = number(asPercent(policy.levels?.[name]?.[end]));
        levelInputs.push({ name, end, input, before: input.value });
        return field(`levels.${name}.${end}`, `${name}: ${end === "enter" ? "from" : "left below"}, in %`, null, input);
      }),
    ),
  );
  const numbers = TIMES.map(([name, label, help]) => ({ name, input: number(policy[name]), label, help, before: policy[name] }));

  function change() {
    const body = {};
    if (how() !== before) body.restart = how();
    for (const { name, input, before } of numbers) {
      const value = input.value.trim() === "" ? null : Number(input.value);
      if (value !== (before ?? null)) body[name] = value;
    }
    for (const { name } of levelInputs.filter(({ input, before }) => input.value !== before)) {
      const ratio = (end) => {
        const { input } = levelInputs.find((level) => level.name === name && level.end === end);
        return input.value.trim() === "" ? null : Math.round(Number(input.value) * 1e6) / 1e8;
      };
      body.levels ??= {};
      body.levels[name] = { enter: ratio("enter"), leave: ratio("leave") };
    }
    return body;
  }

  const body = [
    h("p", {}, "Holds until the program's next start. Fields that you leave as they are stay as they are."),
    restartField,
    h("fieldset", { class: "group" }, h("legend", {}, "Levels, as a share of the limit"), levelRows),
    h("fieldset", { class: "group two" }, h("legend", {}, "Restarts"), numbers.map(({ name, label, help, input }) => field(name, label, help, input))),
  ];
  dialog.open({
    title: "Change the policy",
    body,
    confirm: "Change it",
    focus: way,
    onConfirm: async () => {
      clearFaults();
      // What is no number reads as empty, which means something.
      const unread = [...numbers, ...levelInputs.map(({ name, end, input }) => ({ name: `levels.${name}.${end}`, input }))].filter(({ input }) => input.validity.badInput);
      if (unread.length > 0) {
        showFaults(unread.map(({ name }) => ({ field: name, value: "", expected: "a number" })));
        return false;
      }
      const wanted = change();
      if (Object.keys(wanted).length === 0) {
        dialog.fault("Nothing was changed.");
        return false;
      }
      let answer;
      try {
        answer = await post("auto-restart/config", wanted);
      } catch (problem) {
        if (problem.errors.length === 0) throw problem;
        showFaults(problem.errors);
        return false;
      }
      await tell("Policy", async () => [h("p", {}, `Changed: ${Object.entries(wanted).map(([name, value]) => words(name, value, answer)).join("; ")}.`)]);
      return true;
    },
  });
}

function words(name, value, answer) {
  const now = answer[name];
  if (name === "levels") {
    return Object.keys(value)
      .map((level) => `${level} from ${percent(now[level].enter, 1)}, left below ${percent(now[level].leave, 1)}`)
      .join("; ");
  }
  const label = TIMES.find(([key]) => key === name)?.[1].replace(/, in seconds$/, "").toLowerCase() ?? "restart";
  if (now === null) return `${label}: none`;
  return `${label}: ${name.endsWith("_seconds") ? duration(now) : now}`;
}

const fieldsIn = () => [...byId("dialog-body").querySelectorAll("[data-field]")];

function clearFaults() {
  for (const place of fieldsIn()) {
    place.querySelector(".fault").textContent = "";
    place.querySelector("input, select").removeAttribute("aria-invalid");
  }
}

/** Each at its field, by name; what has no field here stands below. The first gets the focus. */
function showFaults(errors) {
  const homeless = [];
  let first = null;
  for (const error of errors) {
    const text = `Not ${error.value === "" || error.value == null ? "this" : error.value}: expected ${error.expected}.`;
    const place = fieldsIn().find(({ dataset }) => dataset.field === error.field) ?? fieldsIn().find(({ dataset }) => dataset.field.startsWith(`${error.field}.`));
    if (!place) {
      homeless.push(`${error.field}: ${text}`);
      continue;
    }
    const fault = place.querySelector(".fault");
    fault.textContent = fault.textContent ? `${fault.textContent} ${text}` : text;
    const input = place.querySelector("input, select");
    input.setAttribute("aria-invalid", "true");
    first ??= input;
  }
  dialog.fault([`${errors.length === 1 ? "One field is" : `${errors.length} fields are`} wrong; nothing was changed.`, ...homeless].join(" "));
  // The button is still disabled while this runs; afterwards the field can take the focus.
  setTimeout(() => first?.focus());
}

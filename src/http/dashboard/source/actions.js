/** What can be done: optimise, restart, drill. Each says what it will do first, and what it did after. */

import { get, post } from "./api.js";
import { open } from "./dialog.js";
import { byId, h, setText } from "./dom.js";
import { how } from "./done.js";
import { bytes, duration, isNumber, many, percent, sentence } from "./format.js";
import { ACTIONS, LEVELS, named, SKIPPED } from "./names.js";
import { table } from "./table.js";

let state = null;
let onDone = () => {};

/** @param known what is known now: `{ details, sample, status }` @param done refreshes the figures */
export function start(known, done) {
  state = known;
  onDone = done;
  byId("optimise").addEventListener("click", optimise);
  byId("restart").addEventListener("click", restart);
  byId("drill").addEventListener("click", drill);
}

const list = (...items) => h("ul", { class: "plan" }, items.filter(Boolean).map((item) => h("li", {}, item)));
const mode = () => state.status?.mode ?? state.details?.image?.mode ?? state.image?.mode;

/** What stands in the way of anything being done. */
function modeWords() {
  if (mode() === "dry_run") return "This is a dry run: everything is decided and written down, and nothing is done.";
  if (mode() === "observe") return "The monitor only observes here: the server may refuse.";
  return null;
}

const note = (text) => (text ? h("p", { class: "note" }, text) : null);

function optimise() {
  const caches = state.details?.caches ?? [];
  const parts = { ...state.details?.diagnosis, ...state.sample?.parts };
  const held = caches.reduce((total, cache) => total + (cache.bytes ?? 0), 0);
  const largest = [...caches].sort((a, b) => b.bytes - a.bytes).slice(0, 3).map((cache) => `${cache.name} ${bytes(cache.bytes)}`);
  const hasAllocator = Boolean(state.sample?.allocator ?? state.details?.allocator);
  const purge = state.details?.summary?.purge;
  open({
    title: "Optimise now?",
    body: [
      list(
        caches.length > 0 ? `Asks ${many(caches.length, "cache")} holding ${bytes(held)} to shrink (${largest.join(", ")}${caches.length > 3 ? " …" : ""}).` : "Shrinks no cache: none is registered.",
        hasAllocator && `Tells ${many(state.sample?.heap?.threads ?? null, "thread")} to flush their caches (${bytes(parts.thread_cache_bytes)}). Each does so at its next allocation or free.`,
        hasAllocator && `Purges dirty pages (${bytes(parts.dirty_bytes)}).`,
        isNumber(parts.system_heap_free_bytes) && `Trims the C library's heap (${bytes(parts.system_heap_free_bytes)} free in it).`,
        !hasAllocator && "Flushes and purges nothing in the allocator: it is not jemalloc.",
      ),
      h("p", {}, `The program goes on working. What has nothing to gain is left out.${purge?.count > 0 ? ` So far a purge took ${duration(purge.p50)} (median), ${duration(purge.max)} at most.` : ""}`),
      note(modeWords()),
    ].filter(Boolean),
    confirm: "Optimise",
    focus: byId("confirm"),
    onConfirm: () =>
      tell("Optimise", async () => {
        const answer = await post("memory/optimize");
        const place = h("div", {});
        table(place, {
          id: "result-rows",
          caption: "What was done",
          empty: "There was nothing to do.",
          key: (row) => `${row.action}${row.at_unix_seconds}`,
          columns: [
            { key: "action", label: "Action", isHead: true, show: (row) => sentence(named(ACTIONS, row.action)) },
            { key: "back", label: "Gave back", isNumber: true, show: (row) => (row.skipped ? "–" : bytes(row.given_back_bytes)) },
            { key: "took", label: "Took", isNumber: true, show: (row) => (row.skipped ? "–" : duration(row.duration_seconds)) },
            { key: "remark", label: "Carried out", show: (row) => (row.skipped ? named(SKIPPED, row.skipped) : "yes") },
          ],
        }).show(answer.rows ?? []);
        return [h("p", {}, `${bytes(answer.given_back_bytes)} given back by ${many(answer.rows?.length, "action")}.`), place];
      }),
  });
}

async function restart() {
  const status = await freshStatus();
  const policy = status?.policy;
  const way = policy?.restart;
  const isRefused = status && (way === null || mode() === "observe");
  const budget = status?.budget;
  const cooldown = status?.cooldown;
  open({
    title: "Restart now?",
    isDanger: true,
    body: [
      list(
        isRefused
          ? `The server will refuse: ${mode() === "observe" ? "the monitor only observes" : "no way to restart is configured; the policy can name one"}.`
          : `Answers open requests for up to ${duration(policy?.drain_deadline_seconds)}, then ${ending(way)}.`,
        budget && `Restarts used in the last hour: ${budget.used} of ${budget.per_hour}.`,
        cooldown && (cooldown.remaining_seconds > 0 ? `Cooldown: ${duration(cooldown.remaining_seconds)} of ${duration(cooldown.seconds)} remain.` : `Cooldown: ${duration(cooldown.seconds)}, over.`),
        `The program runs for ${duration(state.sample?.uptime_seconds)} and holds ${bytes(state.sample?.process?.anonymous_bytes)}. Its history begins anew; this page keeps what it has seen.`,
      ),
      note(mode() === "observe" ? null : modeWords()),
    ].filter(Boolean),
    confirm: isRefused ? "Ask all the same" : "Restart",
    onConfirm: () =>
      tell("Restart", async () => {
        const answer = await post("auto-restart/restart");
        return [h("p", {}, `${sentence(answer.status ?? "begun")}: open requests are answered for up to ${duration(answer.deadline_seconds)}. This page comes back by itself.`)];
      }),
  });
}

function ending(way) {
  if (way === "exec") return "replaces the process image in place: same process id, listening sockets handed over";
  if (way === "abort") return "aborts with a core dump, for a supervisor to start it again";
  const [, code] = /^exit:(\d+)$/.exec(way ?? "") ?? [];
  return code ? `ends with code ${code}, for its supervisor to start it again` : "restarts";
}

async function freshStatus() {
  try {
    state.status = await get("auto-restart/status");
  } catch {
    // What was known before is good enough to ask with.
  }
  return state.status;
}

function drill() {
  const levels = state.details?.levels;
  const pressure = h("input", { type: "range", id: "drill-pressure", name: "pressure", min: "50", max: "120", step: "1", value: "85", "aria-describedby": "drill-words" });
  const output = h("output", { for: "drill-pressure" });
  const seconds = h("input", { type: "number", id: "drill-seconds", name: "seconds", min: "1", max: "3600", step: "1", value: "10", inputmode: "numeric" });
  const real = h("input", { type: "checkbox", id: "drill-restart", name: "restart" });
  const plan = h("p", { id: "drill-words", class: "note" });
  const values = () => ({ pressure: Number(pressure.value) / 100, seconds: Number(seconds.value), restart: real.checked });

  function describe() {
    const chosen = values();
    output.textContent = percent(chosen.pressure);
    pressure.setAttribute("aria-valuetext", percent(chosen.pressure));
    const reached = LEVELS.slice(1).filter((name) => chosen.pressure >= (levels?.[name]?.enter ?? Infinity)).at(-1);
    const effect = reached
      ? `That is level ${reached}: caches shrink, thread caches are flushed, free pages are purged${reached === "optimise" ? "" : ", a restart is judged"}. All that is real`
      : levels
        ? "No line is reached: nothing will happen"
        : "Levels, actions and callbacks are real";
    const ends = reached === "optimise" || !reached ? "" : real.checked ? "; the restart too, within cooldown and budget" : "; only the restart is withheld";
    plan.textContent = `Pretends for ${isNumber(chosen.seconds) ? duration(chosen.seconds) : "10 s"} that ${percent(chosen.pressure)} of the limit is used. ${effect}${ends}. A real pressure above it is not hidden.`;
  }
  for (const input of [pressure, seconds, real]) input.addEventListener("input", describe);
  describe();

  open({
    title: "Run a drill?",
    body: [
      h("label", { class: "field" }, h("span", {}, "Pretended load ", output), pressure),
      h("label", { class: "field" }, h("span", {}, "For how many seconds"), seconds),
      h("label", { class: "check" }, real, " restart too, if it comes to that"),
      plan,
      note(modeWords()),
    ].filter(Boolean),
    confirm: "Start the drill",
    focus: pressure,
    onConfirm: () =>
      tell("Drill", async () => {
        const answer = await post("memory/drill", values());
        return [h("p", {}, `For ${duration(answer.seconds)} the program takes ${percent(answer.pressure)} of the limit as used${answer.restart ? ", and may restart" : ""}. Watch the hull, the marks and the ledger.`)];
      }),
  });
}

/** Does it and shows what came of it, under the buttons. */
export async function tell(name, work) {
  const result = byId("result");
  let content;
  let isFault = false;
  try {
    content = await work();
  } catch (problem) {
    isFault = true;
    content = [h("p", {}, problem.message)];
    const fields = problem.errors ?? [];
    if (fields.length > 0) content.push(list(...fields.map((error) => `${error.field}: ${error.value}; expected ${error.expected}`)));
  }
  const dismiss = h("button", { type: "button", class: "quiet", onclick: () => { result.hidden = true; } }, "Dismiss");
  result.replaceChildren(h("h3", {}, isFault ? `${name}: not done` : name), ...content, dismiss);
  result.classList.toggle("isfault", isFault);
  result.dataset.of = name;
  result.hidden = false;
  // Where it appears nobody is listening yet.
  setText("announce", [`${name}: ${isFault ? "not done" : "done"}.`, content[0]?.textContent].filter(Boolean).join(" "));
  // After the dialog has closed, so that the focus is not taken back.
  setTimeout(() => result.scrollIntoView({ block: "nearest" }), 50);
  onDone();
}

/** Another image answers: what was promised about the restart has come true. */
export function cameBack() {
  const result = byId("result");
  if (result.dataset.of === "Restart") result.hidden = true;
}

/** The sentences beside the buttons. */
export function show() {
  const { status } = state;
  if (!status) return;
  const { policy, budget, cooldown } = status;
  const parts = [];
  if (policy.restart === null) parts.push("No way to restart is configured.");
  else parts.push(`When it is due: ${how(policy.restart)}.`);
  if (budget) parts.push(`Used ${budget.used} of ${budget.per_hour} in the last hour.`);
  if (cooldown?.remaining_seconds > 0) parts.push(`Cooling down for another ${duration(cooldown.remaining_seconds)}.`);
  if (status.withheld) parts.push(`A restart is due and withheld: ${status.withheld}.`);
  setText("restart-state", parts.join(" "));
  const enter = (name) => percent(policy.levels?.[name]?.enter);
  setText("policy-state", `Optimise at ${enter("optimise")}, restart at ${enter("restart")} if it lasts ${duration(policy.sustained_seconds)}, critical at ${enter("critical")}. At most ${many(policy.budget_per_hour, "restart")} an hour, ${duration(policy.cooldown_seconds)} apart.`);
}
